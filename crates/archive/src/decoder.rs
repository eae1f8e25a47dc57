// SPDX-License-Identifier: Apache-2.0
//! Decoders: what each one does, whatever the format.

use std::io::{self, BufRead, Read};

use crate::error::{Error, Result, ensure};

/// The message about data behind a file's last stream.
pub(super) const AFTER_END: &str =
    "data after the end of the compressed stream: expected another stream, or nothing but zeros";

/// A decoder. It differs from [`Read`] by its error, which says whose fault it is.
pub(super) trait Decode: Send {
    /// Decodes the next bytes of the stream, and returns how many; none at its end.
    fn decode(&mut self, into: &mut [u8]) -> Result<usize>;
}

/// A decoder of files of several parts, one after the other, which decoders of one part decode. Zeros after the last one
/// are padding, as for gzip(1).
pub(super) struct Parts<R, D> {
    /// The decoder of the current part; `None` at the file's end.
    decoder: Option<D>,
    begin: fn(R) -> D,
    end: fn(D) -> R,
    /// The first byte of each part.
    first: u8,
    /// How many parts there were before this one.
    before: u64,
    /// Whether something was decoded of this part.
    has_begun: bool,
}

impl<R: BufRead, D: Read> Parts<R, D> {
    pub(super) fn new(input: R, begin: fn(R) -> D, end: fn(D) -> R, first: u8) -> Self {
        Self { decoder: Some(begin(input)), begin, end, first, before: 0, has_begun: false }
    }

    /// Tells whether another part follows, and not the end.
    fn goes_on(&self, input: &mut R) -> Result<bool> {
        if input.fill_buf()?.first() == Some(&self.first) {
            return Ok(true);
        }
        loop {
            let chunk = input.fill_buf()?;
            if chunk.is_empty() {
                return Ok(false);
            }
            ensure!(chunk.iter().all(|byte| *byte == 0), "{AFTER_END}");
            let count = chunk.len();
            input.consume(count);
        }
    }
}

impl<R: BufRead + Send, D: Read + Send> Decode for Parts<R, D> {
    fn decode(&mut self, into: &mut [u8]) -> Result<usize> {
        while let Some(decoder) = &mut self.decoder {
            match decoder.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // If what follows a part can't even be begun, it is no part.
                Err(error) if self.before > 0 && !self.has_begun && error.raw_os_error().is_none() => {
                    return Err(Error::Refused(format!("{AFTER_END} ({error})")));
                }
                Ok(0) if !into.is_empty() => {
                    let Some(ended) = self.decoder.take() else { return Ok(0) };
                    let mut input = (self.end)(ended);
                    if self.goes_on(&mut input)? {
                        self.decoder = Some((self.begin)(input));
                        (self.before, self.has_begun) = (self.before + 1, false);
                    }
                }
                done => {
                    self.has_begun = true;
                    return Ok(done?);
                }
            }
        }
        Ok(0)
    }
}
