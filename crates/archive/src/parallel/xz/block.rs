// SPDX-License-Identifier: Apache-2.0
//! Decodes one block of an .xz file by liblzma, as if the block were alone in its stream.
//!
//! Invariant: a block is complete once all of its bytes were read, up to its check, and as many bytes were decoded as
//! its header says.

use std::io::{self, BufRead};

use xz2::stream::{Action, Stream};

use super::container::{Block, StreamHeader, invalid};
use crate::error::{Error, Result};
use crate::serial_xz::failed;

/// Memory that a block's decoder takes beside its dictionary.
pub(super) const BESIDE_DICTIONARY: u64 = 1 << 20;

/// A block's decoder.
pub(super) struct OneBlock {
    stream: Stream,
    /// Bytes of the block that are still to be read (`body`) and still to be decoded (`left`).
    body: u64,
    left: u64,
}

impl OneBlock {
    pub(super) fn new(header: StreamHeader, block: &Block) -> Result<Self> {
        let mut stream =
            Stream::new_stream_decoder(block.dictionary + BESIDE_DICTIONARY, 0).map_err(failed)?;
        let head = [&header.0, block.header.as_slice()].concat();
        stream.process(&head, &mut [], Action::Run).map_err(failed)?;
        if stream.total_in() != head.len() as u64 {
            return Err(invalid("a malformed block header"));
        }
        Ok(Self { stream, body: block.body, left: block.uncompressed })
    }

    /// Decodes some of the block. Returns 0 once the block is complete, its check included.
    pub(super) fn decode(&mut self, input: &mut impl BufRead, into: &mut [u8]) -> Result<usize> {
        loop {
            if self.body == 0 && self.left == 0 {
                return Ok(0);
            }
            let (before_in, before_out) = (self.stream.total_in(), self.stream.total_out());
            let chunk: &[u8] = if self.body == 0 { &[] } else { input.fill_buf()? };
            let length = chunk.len().min(usize::try_from(self.body).unwrap_or(usize::MAX));
            self.stream.process(&chunk[..length], into, Action::Run).map_err(failed)?;
            let (taken, made) = (self.stream.total_in() - before_in, self.stream.total_out() - before_out);
            input.consume(usize::try_from(taken).map_err(io::Error::other)?);
            if taken == 0 && made == 0 {
                return Err(Error::refused("the xz block is cut: expected its end"));
            }
            self.body -= taken;
            self.left = self.left.checked_sub(made).ok_or_else(|| invalid("a long block"))?;
            if made > 0 {
                return Ok(usize::try_from(made).map_err(io::Error::other)?);
            }
        }
    }
}
