// SPDX-License-Identifier: Apache-2.0
//! Decodes parts of a file at the same time, each in a thread of its own, and returns them in the file's order.
//!
//! Invariant: parts that are being decoded, and their waiting chunks, take no more memory than is allowed, except for
//! the few chunks that the part whose turn it is may always have waiting.

use std::io::{Cursor, Read as _};
use std::thread;

use super::queue::Queues;
use crate::error::Result;

/// Bytes of decoded data in a chunk.
pub(super) const CHUNK: usize = 256 << 10;
/// The least memory that must be left for waiting chunks, for each thread.
const AHEAD_MIN: u64 = 2 << 20;
const THREADS_MAX: u64 = 8;

/// Parts being decoded.
pub(super) struct Ahead {
    queues: Queues,
    /// Memory that parts being decoded, and their waiting chunks, may take.
    memory: u64,
    threads: u64,
    /// Jobs that have not ended, and the memory that each takes.
    running: Vec<(u64, u64)>,
    started: u64,
    chunk: Cursor<Vec<u8>>,
}

impl Ahead {
    /// Prepares for parts that take about `each` bytes. `None` if the machine or `memory` is not enough for two parts
    /// at a time.
    pub(super) fn new(memory: u64, each: u64) -> Option<Self> {
        let threads = thread::available_parallelism().map_or(1, |count| count.get() as u64).min(THREADS_MAX);
        let each = each.saturating_add(AHEAD_MIN);
        let fit = |threads: &u64| each.checked_mul(*threads).is_some_and(|all| all <= memory);
        let threads = (2..=threads).rev().find(fit)?;
        let (queues, chunk) = (Queues::new(), Cursor::new(Vec::new()));
        Some(Self { queues, memory, threads, running: Vec::new(), started: 0, chunk })
    }

    /// Tells whether another thread may start. Allows waiting chunks to use the memory that is left meanwhile.
    pub(super) fn has_thread(&mut self) -> bool {
        self.running.retain(|(job, _)| !self.queues.has_ended(*job));
        let left = self.memory.saturating_sub(self.taken());
        self.queues.allow(usize::try_from(left).unwrap_or(usize::MAX) / CHUNK);
        (self.running.len() as u64) < self.threads
    }

    /// Tells whether there is memory for a part that takes `needs` bytes.
    pub(super) fn has_room(&self, needs: u64) -> bool {
        let waiting = (self.queues.waiting() * CHUNK) as u64;
        needs <= self.memory.saturating_sub(self.taken()).saturating_sub(waiting.max(AHEAD_MIN))
    }

    fn taken(&self) -> u64 {
        self.running.iter().map(|(_, needs)| needs).sum()
    }

    /// Starts decoding the file's next part. `decode` passes chunks on until it is told that no more are wanted.
    pub(super) fn start(
        &mut self,
        needs: u64,
        decode: impl FnOnce(&mut dyn FnMut(Vec<u8>) -> bool) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let (job, queues) = (self.started, self.queues.clone());
        queues.begin(job);
        thread::Builder::new().name("part".into()).spawn(move || {
            let end = decode(&mut |chunk| queues.push(job, chunk));
            queues.end(job, end);
        })?;
        self.started += 1;
        self.running.push((job, needs));
        Ok(())
    }

    /// Reads the rest of the current chunk.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        Ok(self.chunk.read(into)?)
    }

    /// Takes the next chunk, of the parts in their order. `false` once all parts have been returned.
    pub(super) fn next_chunk(&mut self) -> Result<bool> {
        let next = self.queues.pop()?;
        let is_there = next.is_some();
        self.chunk = Cursor::new(next.unwrap_or_default());
        Ok(is_there)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.queues.close();
    }
}

/// Reads a whole part, in chunks, until `push` refuses one.
pub(super) fn in_chunks(
    mut read: impl FnMut(&mut [u8]) -> Result<usize>,
    push: &mut dyn FnMut(Vec<u8>) -> bool,
) -> Result<()> {
    loop {
        let (mut chunk, mut filled) = (vec![0; CHUNK], 0);
        while filled < CHUNK {
            match read(&mut chunk[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        let is_last = filled < CHUNK;
        chunk.truncate(filled);
        if !push(chunk) || is_last {
            return Ok(());
        }
    }
}
