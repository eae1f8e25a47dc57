// SPDX-License-Identifier: Apache-2.0
//! Decodes .zst files (RFC 8878) with libzstd, frame after frame (docs/design/12-decoders.md says why not in parallel).
//!
//! Invariant: a frame whose window takes more memory than allowed is refused.

use std::io::{self, BufRead, Read as _};

use zstd::stream::read;

use crate::decoder::{AFTER_END, Decode};
use crate::error::{Error, Result};
use crate::memory::{self, TooLittle};

/// A decoder of a .zst file.
pub(super) struct Decoder<R> {
    decoder: read::Decoder<'static, R>,
    too_little: TooLittle,
    has_begun: bool,
}

impl<R: BufRead> Decoder<R> {
    pub(super) fn new(mut input: R, memory: u64) -> Result<Self> {
        let needed = memory::zstd_needs(input.fill_buf()?);
        let mut decoder = read::Decoder::with_buffer(input)?;
        decoder.window_log_max(memory::zstd_window_log(memory))?;
        Ok(Self { decoder, too_little: TooLittle { needed, allowed: memory }, has_begun: false })
    }
}

impl<R: BufRead + Send> Decode for Decoder<R> {
    fn decode(&mut self, into: &mut [u8]) -> Result<usize> {
        let read = self.decoder.read(into);
        self.has_begun |= read.is_ok();
        read.map_err(|error| {
            // The crate passes on only the texts of libzstd's errors (zstd's error_private.c).
            let text = error.to_string();
            if text.contains("too much memory") {
                // ZSTD_error_frameParameter_windowTooLarge.
                self.too_little.into()
            } else if self.has_begun && text.starts_with("Unknown frame descriptor") {
                // ZSTD_error_prefix_unknown.
                Error::refused(AFTER_END)
            } else if text.starts_with("Allocation error") {
                // ZSTD_error_memory_allocation.
                Error::System(io::Error::new(io::ErrorKind::OutOfMemory, error))
            } else {
                error.into()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const MEMORY: u64 = 38 << 20;
    const SKIPPABLE: &[u8] = b"\x5a\x2a\x4d\x18\x03\0\0\0abc";

    fn frame(content: &[u8], window_log: u32) -> Vec<u8> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.window_log(window_log).unwrap();
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(file: &[u8]) -> Result<Vec<u8>> {
        let mut decoder = Decoder::new(file, MEMORY)?;
        let (mut decoded, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            match decoder.decode(&mut buffer)? {
                0 => return Ok(decoded),
                count => decoded.extend_from_slice(&buffer[..count]),
            }
        }
    }

    #[test]
    fn all_frames_come_out_in_their_order() {
        let (one, two) = (vec![b'1'; 300_000], vec![b'2'; 5]);
        let file = [SKIPPABLE, &frame(&one, 20), SKIPPABLE, SKIPPABLE, &frame(&two, 20), SKIPPABLE].concat();
        assert!(decode(&file).unwrap() == [one, two].concat());
        assert!(decode(SKIPPABLE).unwrap().is_empty());
    }

    #[test]
    fn files_that_are_cut_altered_or_too_long_are_refused() {
        let content = b"some content, which has a checksum";
        let whole = frame(content, 20);
        for at in 1..whole.len() {
            assert!(decode(&whole[..at]).is_err(), "cut at {at}");
            let mut altered = whole.clone();
            altered[at] ^= 1;
            assert!(decode(&altered).map_or(true, |decoded| decoded == content), "altered at {at}");
        }
        for after in [b"x".as_slice(), &[0; 5], &whole[..4], &whole[..20]] {
            assert!(decode(&[&whole, after].concat()).is_err(), "{after:?}");
        }
    }

    #[test]
    fn a_frame_of_a_large_window_is_refused() {
        let file = [frame(b"first", 20), frame(&vec![b'x'; 1000], 27)].concat();
        let error = decode(&file).unwrap_err();
        assert!(matches!(error, Error::Exceeded(_)), "{error}");
        assert!(error.to_string().contains("expected at most"), "{error}");
    }
}
