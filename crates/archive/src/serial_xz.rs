// SPDX-License-Identifier: Apache-2.0
//! The xz decoder. If it is not allowed enough memory, its error says how much it would need.

use std::io::{self, BufRead};

use xz2::stream::{Action, CONCATENATED, Error as OfXz, Status, Stream};

use crate::decode::Decode;
use crate::error::{Error, Result};
use crate::memory::TooLittle;

/// Decodes all streams of an .xz file.
pub(super) struct Decoder<R> {
    input: R,
    stream: Stream,
    memory: u64,
    has_ended: bool,
}

impl<R: BufRead> Decoder<R> {
    pub(super) fn new(input: R, memory: u64) -> Result<Self> {
        let stream = Stream::new_stream_decoder(memory, CONCATENATED).map_err(failed)?;
        Ok(Self { input, stream, memory, has_ended: false })
    }
}

impl<R: BufRead + Send> Decode for Decoder<R> {
    fn decode(&mut self, into: &mut [u8]) -> Result<usize> {
        while !self.has_ended && !into.is_empty() {
            let (before_in, before_out) = (self.stream.total_in(), self.stream.total_out());
            let chunk = self.input.fill_buf()?;
            let is_last = chunk.is_empty();
            let action = if is_last { Action::Finish } else { Action::Run };
            let status = self.stream.process(chunk, into, action);
            let taken = usize::try_from(self.stream.total_in() - before_in).map_err(io::Error::other)?;
            let made = usize::try_from(self.stream.total_out() - before_out).map_err(io::Error::other)?;
            self.input.consume(taken);
            match status {
                Err(OfXz::MemLimit) => return Err(too_little(&mut self.stream, self.memory).into()),
                status => self.has_ended = status.map_err(failed)? == Status::StreamEnd,
            }
            if made > 0 {
                return Ok(made);
            }
            if is_last && !self.has_ended {
                return Err(Error::refused("the xz stream is cut: expected its end"));
            }
        }
        Ok(0)
    }
}

/// Gives an error of liblzma its meaning.
pub(super) fn failed(error: OfXz) -> Error {
    match error {
        OfXz::Mem => Error::System(io::Error::new(io::ErrorKind::OutOfMemory, error)),
        error => io::Error::from(error).into(),
    }
}

/// Finds out what a decoder that ran into its limit needs: the smallest limit that it accepts.
fn too_little(stream: &mut Stream, allowed: u64) -> TooLittle {
    let (mut refused, mut taken) = (allowed, 1 << 40);
    if stream.set_memlimit(taken).is_err() {
        return TooLittle { needed: None, allowed };
    }
    while taken - refused > 1 {
        let middle = refused.midpoint(taken);
        match stream.set_memlimit(middle) {
            Ok(()) => taken = middle,
            Err(_) => refused = middle,
        }
    }
    TooLittle { needed: Some(taken), allowed }
}
