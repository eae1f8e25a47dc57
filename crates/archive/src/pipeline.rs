// SPDX-License-Identifier: Apache-2.0
//! Decodes, hashes and consumes a stream in parallel: a pass takes as long as the slowest of the steps.
//!
//! ```text
//! decoder ──full──► sha256 ──full──► consumer (the caller's thread)
//!    ▲                                  │
//!    └── empty ◄─── sha512 ◄─── used ───┘
//! ```
//!
//! A fixed set of buffers circulates, so memory is bounded and no step runs ahead of the others. A step that fails
//! hangs up, and the others end. The sha512, which takes three times as long as the sha256, is taken of buffers that
//! are consumed already, so only the decoder waits for it. Without a sha512, used buffers are empty ones at once.
//! Invariant: bytes reach the consumer only through the first hasher, and digests are returned only for a stream that
//! was consumed to its end, so both are of the same bytes.

use std::io::Read;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, ScopedJoinHandle};

use pod::digest::{self, Digest};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

use crate::decode::{Decoded, decode};
use crate::error::{Error, Result, Within as _, ensure};
use crate::tar::Input;
use sys::Interrupt;

const BUFFER: usize = 256 << 10;
const BUFFERS: usize = 16;

/// A stream that was consumed to its end.
#[derive(Debug)]
pub struct Passed<T> {
    /// The consumer's result.
    pub value: T,
    /// The digests of the whole decoded stream.
    pub digests: Digests,
}

/// The digests of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// SHA-256.
    pub sha256: digest::Sha256,
    /// SHA-512, if the stream is named by it.
    pub sha512: Option<Digest>,
}

impl Digests {
    /// Returns the digest of the same kind as `other`.
    pub fn like(&self, other: Digest) -> Option<Digest> {
        if other.is_sha512() { self.sha512 } else { Some(self.sha256.into()) }
    }
}

struct Buffer {
    bytes: Box<[u8]>,
    filled: usize,
}

type Item = Result<Buffer>;

/// The decoded stream, as its consumer reads it.
pub struct Stream<'a> {
    full: Receiver<Item>,
    used: Sender<Buffer>,
    current: Option<Buffer>,
    start: usize,
    interrupt: &'a Interrupt,
}

/// How a stream is decoded and hashed.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Whether the sha512 is computed as well.
    pub with_sha512: bool,
    /// Bytes of memory that the decoder may use.
    pub decoder_memory: u64,
    /// Ends the pass early.
    pub interrupt: &'a Interrupt,
}

/// Decodes `source` and passes the tar stream in it to `consume`, which reads it to its end.
///
/// On success, `source` itself has been read to its end.
///
/// # Errors
/// Fails on an error of the source, the decoder or the consumer, if the consumer did not read everything, and once
/// interrupted.
pub fn pass<T, E: From<Error>>(
    source: impl Read + Send,
    options: Options<'_>,
    consume: impl FnOnce(&mut Stream<'_>) -> Result<T, E>,
) -> Result<Passed<T>, E> {
    let Options { with_sha512, decoder_memory, interrupt } = options;
    let (empty, empties) = channel();
    for _ in 0..BUFFERS {
        let buffer = Buffer { bytes: vec![0; BUFFER].into_boxed_slice(), filled: 0 };
        empty.send(buffer).expect("the other end is here");
    }
    let (decoded, to_hash) = channel();
    let (hashed, full) = channel();
    thread::scope(|scope| {
        let (used, sha512) = if with_sha512 {
            let (used, consumed) = channel();
            let hasher = thread::Builder::new()
                .name("sha512".into())
                .spawn_scoped(scope, move || hash_used(&consumed, &empty))
                .within(|| "cannot start a thread")?;
            (used, Some(hasher))
        } else {
            (empty, None)
        };
        let mut stream = Stream { full, used, current: None, start: 0, interrupt };
        let hasher = thread::Builder::new()
            .name("hash".into())
            .spawn_scoped(scope, move || hash(&to_hash, &hashed))
            .within(|| "cannot start a thread")?;
        let decoder = thread::Builder::new()
            .name("decode".into())
            .spawn_scoped(scope, move || fill(source, decoder_memory, &empties, &decoded))
            .within(|| "cannot start a thread")?;
        let value = consume(&mut stream).and_then(|value| {
            ensure!(stream.fill()?.is_empty(), "the stream was not read to its end");
            Ok(value)
        });
        drop(stream);
        join(decoder);
        let digests = Digests { sha256: join(hasher), sha512: sha512.map(join) };
        Ok(Passed { value: value?, digests })
    })
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Decodes into empty buffers until the source ends or fails, or no more data is wanted.
fn fill(source: impl Read + Send, memory: u64, empties: &Receiver<Buffer>, full: &Sender<Item>) {
    let mut source = source;
    if let Err(error) = try_fill(&mut source, memory, empties, full) {
        let _ = full.send(Err(error));
    }
}

fn try_fill(
    source: &mut (impl Read + Send),
    memory: u64,
    empties: &Receiver<Buffer>,
    full: &Sender<Item>,
) -> Result<()> {
    let (_, mut decoder) = decode(&mut *source, memory)?;
    while let Ok(mut buffer) = empties.recv() {
        let (filled, failed) = read_full(&mut decoder, &mut buffer.bytes);
        buffer.filled = filled;
        // What was decoded before an error is passed on, so that the error is met where it is.
        if filled > 0 && full.send(Ok(buffer)).is_err() {
            return Ok(());
        }
        failed?;
        if filled == 0 {
            break;
        }
    }
    drop(decoder);
    // A decoder may reach the end of its data without having read to the end of the source.
    match source.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(Error::refused("data after the compressed stream: expected none")),
    }
}

/// Fills a buffer as far as there is data. Returns how many bytes it has, and the error that ended it.
fn read_full(decoder: &mut Decoded<'_>, buffer: &mut [u8]) -> (usize, Result<()>) {
    let mut filled = 0;
    while filled < buffer.len() {
        match decoder.decode(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) => return (filled, Err(error)),
        }
    }
    (filled, Ok(()))
}

fn hash(input: &Receiver<Item>, output: &Sender<Item>) -> digest::Sha256 {
    let mut sha256 = Sha256::new();
    for item in input {
        if let Ok(buffer) = &item {
            sha256.update(&buffer.bytes[..buffer.filled]);
        }
        if output.send(item).is_err() {
            break;
        }
    }
    <[u8; 32]>::from(sha256.finalize()).into()
}

fn hash_used(used: &Receiver<Buffer>, empty: &Sender<Buffer>) -> Digest {
    let mut sha512 = Sha512::new();
    for buffer in used {
        sha512.update(&buffer.bytes[..buffer.filled]);
        // The decoder may have ended already.
        let _ = empty.send(buffer);
    }
    Digest::Sha512(sha512.finalize().into())
}

impl Input for &mut Stream<'_> {
    fn fill(&mut self) -> Result<&[u8]> {
        (**self).fill()
    }

    fn take_bytes(&mut self, count: usize) {
        self.start += count;
    }
}

impl Stream<'_> {
    fn fill(&mut self) -> Result<&[u8]> {
        if self.current.as_ref().is_some_and(|buffer| self.start == buffer.filled) {
            // The decoder may have ended already.
            let _ = self.current.take().map(|buffer| self.used.send(buffer));
        }
        if self.current.is_none() {
            if self.interrupt.signal().is_some() {
                return Err(Error::Interrupted);
            }
            self.start = 0;
            self.current = self.full.recv().ok().transpose()?;
        }
        Ok(self.current.as_ref().map_or(&[], |buffer| &buffer.bytes[self.start..buffer.filled]))
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::LazyLock;

    use super::*;

    fn options() -> Options<'static> {
        static NEVER: LazyLock<Interrupt> = LazyLock::new(Interrupt::default);
        Options { with_sha512: true, decoder_memory: 0, interrupt: &NEVER }
    }

    fn plain(size: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..=250_u8).cycle().take(size).collect();
        bytes[257..262].copy_from_slice(b"ustar");
        bytes
    }

    fn read_all(mut stream: &mut Stream<'_>) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let chunk = stream.fill()?;
            if chunk.is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(chunk);
            let count = chunk.len();
            Input::take_bytes(&mut stream, count);
        }
    }

    #[test]
    fn the_digest_is_of_all_and_the_consumer_sees_all() {
        let bytes = plain(3 * BUFFER * BUFFERS + 17);
        let passed = pass(bytes.as_slice(), options(), read_all);
        let passed = passed.unwrap();
        assert!(passed.value == bytes);
        assert_eq!(passed.digests.sha256, <[u8; 32]>::from(Sha256::digest(&bytes)).into());
        assert_eq!(passed.digests.sha512, Some(Digest::Sha512(Sha512::digest(&bytes).into())));
    }

    #[test]
    fn a_failing_consumer_ends_it() {
        let bytes = plain(3 * BUFFER * BUFFERS);
        let failed: Result<Passed<()>> =
            pass(bytes.as_slice(), options(), |_| Err(Error::refused("no more")));
        assert_eq!(failed.unwrap_err().to_string(), "no more");
        let left = pass(bytes.as_slice(), options(), |mut stream| {
            stream.take_bytes(1);
            Ok::<_, Error>(())
        });
        assert_eq!(left.unwrap_err().to_string(), "the stream was not read to its end");
    }

    #[test]
    fn a_failing_source_reaches_the_consumer() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("bad disk"))
            }
        }
        let bytes = plain(BUFFER);
        let failed = pass(bytes.as_slice().chain(Failing), options(), read_all);
        assert_eq!(failed.unwrap_err().to_string(), "bad disk");
    }
}
