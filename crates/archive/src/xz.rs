// SPDX-License-Identifier: Apache-2.0
//! Decodes .xz files with liblzma: all streams of a file. Blocks whose headers have their sizes, as `xz -T` writes them,
//! are decoded in several threads if memory allows it (docs/design/12-decoders.md).
//!
//! Invariant: all bytes of the file are accounted for. A file that needs more memory than allowed is refused, and the
//! error says how much it needs, where that is known.

use std::io::{self, BufRead};
use std::thread;

use xz2::stream::{Action, Error as OfXz, MtStreamBuilder, Status, Stream};

use crate::decoder::{AFTER_END, Decode};
use crate::error::{Error, Result, ensure};
use crate::memory::TooLittle;

const THREADS_MAX: usize = 8;
/// The most memory of which threads are started: more would make little faster.
const THREADS_MEMORY: u64 = 38 << 20;
/// The unit of the padding after a stream (the .xz file format 1.2.1, section 2.2).
const PADDING: usize = 4;

/// A decoder of an .xz file.
pub(super) struct Decoder<R> {
    input: R,
    stream: Stream,
    memory: u64,
    has_ended: bool,
    /// Whether this is not the file's first stream.
    is_further: bool,
}

impl<R: BufRead> Decoder<R> {
    pub(super) fn new(mut input: R, memory: u64) -> Result<Self> {
        check_memory(input.fill_buf()?, memory)?;
        Ok(Self { input, stream: stream(memory)?, memory, has_ended: false, is_further: false })
    }

    /// Skips the padding after a stream and begins the next one. Returns `false` at the file's end.
    fn next_stream(&mut self) -> Result<bool> {
        let mut padding = 0;
        let is_there = loop {
            let chunk = self.input.fill_buf()?;
            let zeros = chunk.iter().take_while(|byte| **byte == 0).count();
            if zeros == 0 {
                break !chunk.is_empty();
            }
            padding += zeros;
            self.input.consume(zeros);
        };
        ensure!(
            padding % PADDING == 0,
            "{padding} bytes of padding after the end of the xz stream: expected a multiple of {PADDING}"
        );
        if is_there {
            self.stream = stream(self.memory)?;
            self.is_further = true;
        }
        Ok(is_there)
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
            let is_stray = self.is_further && self.stream.total_out() == 0;
            let status = match status {
                Err(OfXz::Format) if is_stray => return Err(Error::refused(AFTER_END)),
                status => status.map_err(|error| failed(error, self.memory))?,
            };
            if status == Status::StreamEnd {
                self.has_ended = !self.next_stream()?;
            }
            if made > 0 {
                return Ok(made);
            }
            // `MemNeeded` stands for liblzma's LZMA_BUF_ERROR: nothing was read or made, twice.
            let is_cut = is_last && status == Status::MemNeeded;
            ensure!(!(is_cut && is_stray), "{AFTER_END}");
            ensure!(!is_cut, "the xz stream is cut: expected its end");
        }
        Ok(0)
    }
}

/// Makes a decoder of one stream.
fn stream(memory: u64) -> Result<Stream> {
    let threads = thread::available_parallelism().map_or(1, |count| count.get().min(THREADS_MAX));
    MtStreamBuilder::new()
        .threads(u32::try_from(threads).map_err(io::Error::other)?)
        .memlimit_threading(memory.min(THREADS_MEMORY))
        .memlimit_stop(memory)
        .decoder()
        .map_err(|error| failed(error, memory))
}

/// Gives an error of liblzma its meaning.
fn failed(error: OfXz, memory: u64) -> Error {
    match error {
        OfXz::Mem => Error::System(io::Error::new(io::ErrorKind::OutOfMemory, error)),
        OfXz::MemLimit => TooLittle { needed: None, allowed: memory }.into(),
        error => io::Error::from(error).into(),
    }
}

/// Checks that `memory` is enough for the block that begins in `head`, the file's first bytes.
///
/// The decoder with threads does not say how much a block needs, but the one without does.
fn check_memory(head: &[u8], memory: u64) -> Result<()> {
    let mut stream = Stream::new_stream_decoder(memory, 0).map_err(|error| failed(error, memory))?;
    match stream.process(head, &mut [], Action::Run) {
        Err(OfXz::MemLimit) => Err(too_little(&mut stream, memory).into()),
        // The decoder finds everything else that is wrong, too.
        _ => Ok(()),
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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use xz2::stream::{CONCATENATED, Check};

    use super::*;

    const MEMORY: u64 = 38 << 20;
    const BLOCK: u64 = 64 << 10;

    /// Returns bytes that compress a bit.
    fn piece(length: usize, seed: u64) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..length).map(|_| random.u8(..) & 15).collect()
    }

    /// Returns a file of one stream: of blocks with their sizes, or of one block without.
    fn file(content: &[u8], has_sizes: bool) -> Vec<u8> {
        let stream = if has_sizes {
            MtStreamBuilder::new().threads(2).block_size(BLOCK).preset(0).check(Check::Crc64).encoder()
        } else {
            Stream::new_easy_encoder(0, Check::Crc64)
        };
        let mut encoder = xz2::write::XzEncoder::new_stream(Vec::new(), stream.unwrap());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(file: &[u8], memory: u64) -> Result<Vec<u8>> {
        let mut decoder = Decoder::new(file, memory)?;
        let (mut decoded, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            match decoder.decode(&mut buffer)? {
                0 => return Ok(decoded),
                count => decoded.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Decodes without threads.
    fn plain(file: &[u8]) -> io::Result<Vec<u8>> {
        let stream = Stream::new_stream_decoder(MEMORY, CONCATENATED)?;
        let mut decoded = Vec::new();
        xz2::bufread::XzDecoder::new_stream(file, stream).read_to_end(&mut decoded)?;
        Ok(decoded)
    }

    #[test]
    fn streams_and_blocks_come_out_in_their_order() {
        let whole = piece(1_000_000, 1);
        let files = [file(&whole, true), file(&whole, false)];
        let padded = |file: &[u8]| [file, &[0; 8]].concat();
        for memory in [1 << 20, 2 << 20, 4 << 20, MEMORY] {
            for one in &files {
                assert!(decode(one, memory).unwrap() == whole, "{memory}");
                for other in &files {
                    let both = [padded(one), padded(other)].concat();
                    assert!(
                        decode(&both, memory).unwrap() == [whole.as_slice(), &whole].concat(),
                        "{memory}"
                    );
                }
            }
        }
    }

    #[test]
    fn files_that_are_cut_or_altered_are_refused() {
        let whole = file(&piece(400, 1), true);
        assert!(decode(&whole, MEMORY).is_ok());
        for at in 0..whole.len() {
            assert!(decode(&whole[..at], MEMORY).is_err(), "cut at {at}");
            let mut altered = whole.clone();
            altered[at] ^= 1;
            // liblzma does not check every bit of what it decodes.
            let is_seen = plain(&altered).is_err();
            assert_eq!(decode(&altered, MEMORY).is_err(), is_seen, "altered at {at}");
        }
        for after in [b"x".as_slice(), &[0; 3], &[0; 5], &[0, 0, 0, 1], &whole[..20]] {
            assert!(decode(&[&whole, after].concat(), MEMORY).is_err(), "{after:?}");
        }
    }

    #[test]
    fn a_file_that_takes_too_much_memory_is_refused_with_what_it_takes() {
        let large = {
            let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 6);
            encoder.write_all(&piece(1000, 1)).unwrap();
            encoder.finish().unwrap()
        };
        let error = decode(&large, 1 << 20).unwrap_err();
        assert!(matches!(error, Error::Exceeded(_)), "{error}");
        let needed: u64 = error.to_string().split(' ').find_map(|word| word.parse().ok()).unwrap();
        assert!(decode(&large, needed).is_ok() && decode(&large, needed - 1).is_err(), "{error}");
        // Behind another stream, it is not known beforehand.
        let second = [file(&piece(1000, 1), true), large].concat();
        let error = decode(&second, 1 << 20).unwrap_err();
        assert!(matches!(error, Error::Exceeded(_)), "{error}");
    }
}
