// SPDX-License-Identifier: Apache-2.0
//! Decodes .zst files (RFC 8878), several frames at once if possible.
//!
//! Frames are independent of each other. The sizes of a frame's blocks tell where it ends, so its end is found without
//! decoding anything. Whole frames are gathered into batches, small ones together. libzstd decodes each batch as a file
//! of its own. From the first frame on that is long, malformed or takes much memory, the rest of the file is decoded as
//! it is read: most files are but one long frame.
//!
//! Invariant: all bytes of the file reach libzstd, in their order; whether they are valid is not decided here.

use std::io::{self, BufRead, Chain, Cursor, Read};

use zstd::stream::read::Decoder;

use super::ahead::{Ahead, in_chunks};
use crate::decode::Decode;
use crate::error::{Error, Result};
use crate::memory::{self, TooLittle};

/// Frames are gathered into a batch until it has this many bytes.
const BATCH: usize = 1 << 20;
/// The most bytes in a batch. A batch is read before there is memory for decoding it.
const BATCH_MAX: usize = 4 << 20;
/// The magic number of a frame.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Opens a .zst file. Uses several threads if its frames, `memory` and the machine allow it, else one.
pub(crate) fn open<'a, R: BufRead + Send + 'a>(input: R, memory: u64) -> Result<Box<dyn Decode + 'a>> {
    let mut input = input;
    let next = gather(&mut input)?;
    let ahead = match &next {
        Next::Batch(batch) => Ahead::new(memory.saturating_sub(BATCH_MAX as u64), batch.needs()),
        Next::Rest(_) | Next::End => None,
    };
    Ok(match ahead {
        Some(ahead) => Box::new(Frames { input: Some(input), memory, ahead, next, rest: None }),
        None => Box::new(Serial::new(Cursor::new(next.into_body()).chain(input), memory)?),
    })
}

/// Whole frames that are decoded together.
struct Batch {
    body: Vec<u8>,
    /// Memory that the decoder takes for the frame that needs most.
    decoder: u64,
}

impl Batch {
    /// Returns the memory that decoding it takes.
    fn needs(&self) -> u64 {
        self.decoder.saturating_add(self.body.len() as u64)
    }
}

/// What comes next in a file.
enum Next {
    Batch(Batch),
    /// The rest of the file, which has to be decoded as it is read. These bytes of it were already read.
    Rest(Vec<u8>),
    End,
}

impl Next {
    /// Returns the bytes that were already read.
    fn into_body(self) -> Vec<u8> {
        match self {
            Self::Batch(Batch { body, .. }) | Self::Rest(body) => body,
            Self::End => Vec::new(),
        }
    }
}

/// Reads the next batch.
fn gather(input: &mut impl BufRead) -> Result<Next> {
    let mut batch = Batch { body: Vec::new(), decoder: 0 };
    while batch.body.len() < BATCH && !input.fill_buf()?.is_empty() {
        match (Gatherer { input: &mut *input, body: &mut batch.body }).frame()? {
            Some(needs) => batch.decoder = batch.decoder.max(needs),
            None => return Ok(Next::Rest(batch.body)),
        }
    }
    Ok(if batch.body.is_empty() { Next::End } else { Next::Batch(batch) })
}

/// Reads frames into a batch.
struct Gatherer<'a, R> {
    input: &'a mut R,
    body: &'a mut Vec<u8>,
}

impl<R: BufRead> Gatherer<'_, R> {
    /// Reads a frame and returns the memory that its decoder takes; `None` if the frame does not fit or is malformed.
    fn frame(&mut self) -> Result<Option<u64>> {
        let start = self.body.len();
        let Some(magic) = self.take::<4>()? else { return Ok(None) };
        // Section 3.1.2: a skippable frame's header has its length.
        if let [0x50..=0x5f, 0x2a, 0x4d, 0x18] = magic {
            let Some(size) = self.take()? else { return Ok(None) };
            return Ok(self.pass(u32::from_le_bytes(size))?.then_some(0));
        }
        let Some([descriptor]) = (if magic == MAGIC { self.take()? } else { None }) else { return Ok(None) };
        if !self.pass(rest_of_header(descriptor))? {
            return Ok(None);
        }
        let needs = memory::zstd_needs(&self.body[start..]);
        // Section 3.1.1.2: a block's header has a flag for the last block, the block's type and its size.
        loop {
            let Some([low, middle, high]) = self.take()? else { return Ok(None) };
            let header = u32::from_le_bytes([low, middle, high, 0]);
            let (is_last, kind, size) = (header & 1 == 1, header >> 1 & 3, header >> 3);
            // A run is stored as one byte.
            if !self.pass(if kind == 1 { 1 } else { size })? {
                return Ok(None);
            }
            if is_last {
                break;
            }
        }
        let checksum = if descriptor & 4 == 0 { 0 } else { 4 };
        Ok(if self.pass(checksum)? { needs } else { None })
    }

    /// Reads `N` bytes; `None` if the input ends before that or they don't fit.
    fn take<const N: usize>(&mut self) -> Result<Option<[u8; N]>> {
        let count = u32::try_from(N).map_err(io::Error::other)?;
        Ok(if self.pass(count)? { self.body.last_chunk().copied() } else { None })
    }

    /// Reads `count` bytes; `false` if the input ends before that or they don't fit.
    fn pass(&mut self, count: u32) -> Result<bool> {
        let before = self.body.len();
        let count = usize::try_from(count).map_err(io::Error::other)?;
        if BATCH_MAX - before < count {
            return Ok(false);
        }
        Ok((&mut *self.input).take(count as u64).read_to_end(self.body)? == count)
    }
}

/// Returns the length of a frame's header after its descriptor (section 3.1.1.1).
fn rest_of_header(descriptor: u8) -> u32 {
    let is_single = descriptor & 0x20 != 0;
    let window = u32::from(!is_single);
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size = [u32::from(is_single), 2, 4, 8][usize::from(descriptor >> 6)];
    window + dictionary + size
}

/// A file of which several batches are being decoded.
struct Frames<R> {
    input: Option<R>,
    memory: u64,
    ahead: Ahead,
    next: Next,
    /// The part of the file that is decoded as it is read.
    rest: Option<Serial<Chain<Cursor<Vec<u8>>, R>>>,
}

impl<R: BufRead + Send> Frames<R> {
    /// Starts as many jobs as allowed.
    fn dispatch(&mut self) -> Result<()> {
        while self.ahead.has_thread() {
            match &self.next {
                Next::Batch(batch) if self.ahead.has_room(batch.needs()) => {}
                _ => return Ok(()),
            }
            let following = match &mut self.input {
                Some(input) => gather(input)?,
                None => Next::End,
            };
            if let Next::Batch(batch) = std::mem::replace(&mut self.next, following) {
                let (needs, memory) = (batch.needs(), self.memory);
                self.ahead.start(needs, move |push| {
                    let mut decoder = Serial::new(batch.body.as_slice(), memory)?;
                    in_chunks(|into| decoder.decode(into), push)
                })?;
            }
        }
        Ok(())
    }

    /// Starts decoding, without a job, what no job can decode. Returns `false` if nothing is left.
    fn go_alone(&mut self) -> Result<bool> {
        let body = std::mem::replace(&mut self.next, Next::End).into_body();
        if let Some(input) = self.input.take_if(|_| !body.is_empty()) {
            self.rest = Some(Serial::new(Cursor::new(body).chain(input), self.memory)?);
        }
        Ok(self.rest.is_some())
    }
}

impl<R: BufRead + Send> Decode for Frames<R> {
    fn decode(&mut self, into: &mut [u8]) -> Result<usize> {
        while !into.is_empty() {
            if let Some(rest) = &mut self.rest {
                return rest.decode(into);
            }
            let count = self.ahead.read(into)?;
            if count > 0 {
                return Ok(count);
            }
            self.dispatch()?;
            if !self.ahead.next_chunk()? && !self.go_alone()? {
                break;
            }
        }
        Ok(0)
    }
}

/// libzstd's decoder of its whole input. An error for lack of memory says how much is allowed.
struct Serial<R> {
    decoder: Decoder<'static, R>,
    too_little: TooLittle,
}

impl<R: BufRead> Serial<R> {
    fn new(input: R, memory: u64) -> Result<Self> {
        let mut input = input;
        let needed = memory::zstd_needs(input.fill_buf()?);
        let mut decoder = Decoder::with_buffer(input)?;
        decoder.window_log_max(memory::zstd_window_log(memory))?;
        Ok(Self { decoder, too_little: TooLittle { needed, allowed: memory } })
    }
}

impl<R: BufRead + Send> Decode for Serial<R> {
    fn decode(&mut self, into: &mut [u8]) -> Result<usize> {
        self.decoder.read(into).map_err(|error| {
            // The crate passes on only the texts of libzstd's errors (zstd's error_private.c).
            let text = error.to_string();
            if text.contains("too much memory") {
                // ZSTD_error_frameParameter_windowTooLarge.
                self.too_little.into()
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
#[path = "zstd_tests.rs"]
mod tests;
