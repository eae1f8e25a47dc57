// SPDX-License-Identifier: Apache-2.0
//! The tar stream of an archive file, read once: decoded in one thread, hashed in another, and read by the caller.
//!
//! Invariant: a digest comes only from a stream that was read to its end, entries, padding and all, and ended as a tar
//! must: with two blocks of zeros and nothing but zeros after them (POSIX.1-2017, pax, "ustar Interchange Format").

use std::cell::RefCell;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use anyhow::{Result, anyhow, ensure};
use pod::digest::Digest;
use sha2::{Digest as _, Sha256};

use super::decode::{Decoded, decode};

/// How much is decoded at once, and how many such pieces may wait for a slower reader.
const PIECE: usize = 256 << 10;
const WAITING: usize = 8;
/// A tar's unit.
const BLOCK: u64 = 512;
/// What ends a tar.
const END: u64 = 2 * BLOCK;

type Piece = Arc<Vec<u8>>;

/// The stream as its reader sees it. Shared, because the tar crate keeps a reader of its own.
#[derive(Debug)]
pub(crate) struct Stream(RefCell<State>);

#[derive(Debug)]
struct State {
    pieces: Receiver<io::Result<Piece>>,
    piece: Piece,
    at: usize,
    /// How much was read, and how many of the last bytes were zero.
    read: u64,
    zeros: u64,
    /// How much more may be read until somebody says otherwise.
    allowance: u64,
    limit: u64,
}

/// Reads the archive `input` with `consume` and returns what that made of it, and the digest of the whole stream.
///
/// `consume` also returns where the last entry ended. At most `limit` bytes are decoded.
///
/// # Errors
/// Where the archive is damaged or cut, or `consume` fails.
pub(crate) fn read<T>(
    input: impl Read + Send,
    limit: u64,
    consume: impl FnOnce(&Stream) -> Result<(T, u64)>,
) -> Result<(T, Digest)> {
    thread::scope(|scope| {
        let (to_reader, pieces) = sync_channel(WAITING);
        let (to_hasher, hashed) = sync_channel::<Piece>(WAITING);
        let hasher = scope.spawn(move || hash(&hashed));
        scope.spawn(move || produce(input, &to_reader, &to_hasher));
        let state =
            State { pieces, piece: Arc::default(), at: 0, read: 0, zeros: 0, allowance: u64::MAX, limit };
        let stream = Stream(RefCell::new(state));
        let (made, end) = consume(&stream)?;
        stream.finish(end)?;
        let digest = hasher.join().map_err(|_| anyhow!("the hashing thread failed"))?;
        Ok((made, digest))
    })
}

fn hash(pieces: &Receiver<Piece>) -> Digest {
    let mut hasher = Sha256::new();
    while let Ok(piece) = pieces.recv() {
        hasher.update(piece.as_slice());
    }
    Digest::from_bytes(hasher.finalize().into())
}

/// Decodes until the end, an error, or until nobody reads any more.
fn produce(input: impl Read + Send, reader: &SyncSender<io::Result<Piece>>, hasher: &SyncSender<Piece>) {
    let mut decoded = match decode(input) {
        Ok((_, decoded)) => decoded,
        Err(error) => {
            let _ = reader.send(Err(error));
            return;
        }
    };
    loop {
        match next_piece(&mut decoded) {
            Ok(piece) if piece.is_empty() => return,
            Ok(piece) => {
                let piece = Arc::new(piece);
                if reader.send(Ok(Arc::clone(&piece))).is_err() || hasher.send(piece).is_err() {
                    return;
                }
            }
            Err(error) => {
                let _ = reader.send(Err(error));
                return;
            }
        }
    }
}

fn next_piece(decoded: &mut Decoded<'_>) -> io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(PIECE);
    decoded.take(PIECE as u64).read_to_end(&mut piece)?;
    Ok(piece)
}

impl Stream {
    /// Lets at most `bytes` be read until the next call.
    pub(crate) fn allow(&self, bytes: u64) {
        self.0.borrow_mut().allowance = bytes;
    }

    /// Reads what is after the last entry.
    fn finish(&self, end: u64) -> Result<()> {
        self.allow(u64::MAX);
        io::copy(&mut &*self, &mut io::sink())?;
        let state = self.0.borrow();
        let after = state.read.saturating_sub(end);
        ensure!(state.zeros >= after, "bytes after the archive's end: expected zeros only");
        ensure!(after >= END, "the archive is cut short: expected two blocks of zeros at its end");
        Ok(())
    }
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }
}

impl State {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            match self.pieces.recv() {
                Ok(piece) => (self.piece, self.at) = (piece?, 0),
                // The producer is done.
                Err(_) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len() - self.at);
        let bytes = &self.piece[self.at..self.at + count];
        buffer[..count].copy_from_slice(bytes);
        let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count() as u64;
        self.zeros = if zeros == count as u64 { self.zeros + zeros } else { zeros };
        self.at += count;
        self.read += count as u64;
        if self.read > self.limit {
            return Err(io::Error::other(format!("unpacks to more than {} bytes", self.limit)));
        }
        self.allowance = self
            .allowance
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other("an entry's extended headers are over 1 MiB"))?;
        Ok(count)
    }
}

/// Where an entry with `size` bytes of content from `start` on ends, with its padding.
pub(crate) fn entry_end(start: u64, size: u64) -> u64 {
    start.saturating_add(size.div_ceil(BLOCK).saturating_mul(BLOCK))
}
