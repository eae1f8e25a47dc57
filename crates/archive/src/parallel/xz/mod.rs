// SPDX-License-Identifier: Apache-2.0
//! Decodes .xz files whose blocks can be decoded in parallel, as `xz -T` writes them: each block's header has its
//! sizes.
//!
//! The container is read by [`container`]. liblzma decodes each block as a stream of its own, and verifies
//! its check. Blocks are read in the file's order. Decoding ahead pauses once as many decoded bytes wait as memory
//! allows. A block is decoded as it is read if there is no memory for its compressed bytes.
//!
//! Invariant: all bytes of the file are accounted for, the index included, as by liblzma's own stream decoder.

mod block;
mod container;

use std::io::{self, BufRead, Cursor, Read};

use super::ahead::{Ahead, in_chunks};
use crate::decode::Decode;
use crate::error::{Error, Result};
use crate::serial_xz::Decoder;
use block::{BESIDE_DICTIONARY, OneBlock};
use container::{Block, Index, STREAM_HEADER, StreamHeader, invalid};

/// Opens an .xz file. Uses several threads if its blocks, `memory` and the machine allow it, else one.
pub(crate) fn open<'a>(mut input: impl BufRead + Send + 'a, memory: u64) -> Result<Box<dyn Decode + 'a>> {
    let (head, first) = begin_stream(&mut input)?;
    let ahead = first.as_ref().and_then(|(_, block)| Ahead::new(memory, needs(block)));
    let (Some((header, block)), Some(ahead)) = (first, ahead) else {
        return Ok(Box::new(Decoder::new(Cursor::new(head).chain(input), memory)?));
    };
    let (stream, next) = ((header, Index::default()), Next::Block(block));
    Ok(Box::new(Blocks { input: Some(input), memory, stream, next, ahead, alone: None }))
}

/// Returns the memory that decoding a block takes: its compressed bytes, its dictionary, and the rest.
fn needs(block: &Block) -> u64 {
    block.body.saturating_add(block.dictionary).saturating_add(BESIDE_DICTIONARY)
}

/// The bytes read of a stream; with its header and first block if that block's header has its sizes.
type Beginning = (Vec<u8>, Option<(StreamHeader, Block)>);

/// Reads the beginning of a stream up to its first block.
fn begin_stream(input: &mut impl Read) -> Result<Beginning> {
    let mut head = Vec::new();
    input.take(STREAM_HEADER as u64 + 1).read_to_end(&mut head)?;
    let Some((&header, &[size])) = head.split_first_chunk() else { return Ok((head, None)) };
    if size == 0 {
        return Ok((head, None));
    }
    let header = StreamHeader(header);
    input.take(rest_of_header(size)).read_to_end(&mut head)?;
    let block = header.check().ok().and_then(|()| header.block(head[STREAM_HEADER..].to_vec()));
    Ok((head, block.map(|block| (header, block))))
}

/// Returns the length of a block's header after its first byte (section 3.1.1).
fn rest_of_header(size: u8) -> u64 {
    u64::from(size) * 4 + 3
}

/// A file of which several blocks are being decoded.
struct Blocks<R> {
    input: Option<R>,
    memory: u64,
    stream: (StreamHeader, Index),
    next: Next,
    ahead: Ahead,
    /// The part of the file that is decoded as it is read.
    alone: Option<Alone<R>>,
}

/// What comes next in the file.
enum Next {
    Unknown,
    Block(Block),
    /// A stream whose blocks do not have their sizes in their headers; these bytes of it were already read.
    Plain(Vec<u8>),
    End,
}

/// A decoder that reads the file itself, without threads.
enum Alone<R> {
    /// Decodes one block, up to its end.
    Block(OneBlock),
    /// Decodes the rest of the file.
    Rest(Decoder<io::Chain<Cursor<Vec<u8>>, R>>),
}

impl<R: BufRead + Send> Blocks<R> {
    /// Starts as many jobs as allowed.
    fn dispatch(&mut self) -> Result<()> {
        while self.ahead.has_thread() {
            self.look_ahead()?;
            match &self.next {
                Next::Block(block) if self.ahead.has_room(needs(block)) => {}
                _ => return Ok(()),
            }
            if let Some(block) = self.take_block() {
                self.start(&block)?;
            }
        }
        Ok(())
    }

    fn take_block(&mut self) -> Option<Block> {
        match std::mem::replace(&mut self.next, Next::Unknown) {
            Next::Block(block) => {
                self.stream.1.add(&block);
                Some(block)
            }
            other => {
                self.next = other;
                None
            }
        }
    }

    fn start(&mut self, block: &Block) -> Result<()> {
        let mut one = OneBlock::new(self.stream.0, block)?;
        let mut body = vec![0; usize::try_from(block.body).map_err(io::Error::other)?];
        input(&mut self.input)?.read_exact(&mut body)?;
        self.ahead.start(needs(block), move |push| {
            let mut body = body.as_slice();
            in_chunks(|into| one.decode(&mut body, into), push)
        })
    }

    /// Reads up to the next block, and sets what comes next.
    fn look_ahead(&mut self) -> Result<()> {
        let Next::Unknown = self.next else { return Ok(()) };
        let input = input(&mut self.input)?;
        let mut header = vec![0];
        input.read_exact(&mut header)?;
        if header[0] != 0 {
            input.take(rest_of_header(header[0])).read_to_end(&mut header)?;
            let block = self.stream.0.block(header).ok_or_else(|| invalid("a block unlike the first"))?;
            self.next = Next::Block(block);
            return Ok(());
        }
        std::mem::take(&mut self.stream.1).check(self.stream.0, input)?;
        // Section 2.2: padding comes in units of four bytes.
        while input.fill_buf()?.first() == Some(&0) {
            let mut padding = [0; 4];
            input.read_exact(&mut padding)?;
            if padding != [0; 4] {
                return Err(invalid("padding that is not zero"));
            }
        }
        let (head, first) = begin_stream(input)?;
        self.next = match first {
            Some((header, block)) => {
                self.stream = (header, Index::default());
                Next::Block(block)
            }
            None if head.is_empty() => Next::End,
            None => Next::Plain(head),
        };
        Ok(())
    }

    /// Starts decoding, without a job, what no job can decode. Returns `false` if nothing is left.
    fn go_alone(&mut self) -> Result<bool> {
        if let Some(block) = self.take_block() {
            self.alone = Some(Alone::Block(OneBlock::new(self.stream.0, &block)?));
        } else if let Next::Plain(head) = &mut self.next {
            let rest = Cursor::new(std::mem::take(head));
            let input = self.input.take().ok_or_else(gone)?;
            self.alone = Some(Alone::Rest(Decoder::new(rest.chain(input), self.memory)?));
        }
        Ok(self.alone.is_some())
    }

    fn read_alone(&mut self, into: &mut [u8]) -> Result<Option<usize>> {
        match &mut self.alone {
            None => Ok(None),
            Some(Alone::Rest(decoder)) => decoder.decode(into).map(Some),
            Some(Alone::Block(one)) => {
                let count = one.decode(input(&mut self.input)?, into)?;
                if count == 0 {
                    self.alone = None;
                    return Ok(None);
                }
                Ok(Some(count))
            }
        }
    }
}

fn gone() -> Error {
    Error::System(io::Error::other("the input was given away"))
}

fn input<R>(input: &mut Option<R>) -> Result<&mut R> {
    input.as_mut().ok_or_else(gone)
}

impl<R: BufRead + Send> Decode for Blocks<R> {
    fn decode(&mut self, into: &mut [u8]) -> Result<usize> {
        while !into.is_empty() {
            let count = self.ahead.read(into)?;
            if count > 0 {
                return Ok(count);
            }
            if let Some(count) = self.read_alone(into)? {
                return Ok(count);
            }
            self.dispatch()?;
            if !self.ahead.next_chunk()? && !matches!(self.next, Next::Unknown) && !self.go_alone()? {
                break;
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests;
