// SPDX-License-Identifier: Apache-2.0
//! Copies bytes from one descriptor to another. It reads and writes little at once, and only where poll(2) has found a
//! descriptor ready, so it never waits for long.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno, read, write};

/// The most that is read or written at once: a pipe that is ready takes as much without waiting (pipe(7), `PIPE_BUF`).
const CHUNK: usize = 4096;
/// More than the kernel keeps of what was written to a terminal or a pipe and not read yet.
const LEFT_MAX: usize = 2 << 20;

/// A flow of bytes.
#[derive(Debug)]
pub(super) struct Flow {
    /// The source of the bytes; `None` once it has ended.
    pub(super) from: Option<OwnedFd>,
    /// The destination of the bytes; `None` once it has ended. Bytes are dropped from then on.
    pub(super) to: Option<OwnedFd>,
    waiting: Vec<u8>,
}

/// The result of a look at the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Bytes, which wait to be written.
    Bytes,
    /// No bytes for now.
    Nothing,
    /// It has ended.
    End,
}

impl Flow {
    /// Makes a flow.
    pub(super) fn new(from: Option<OwnedFd>, to: Option<OwnedFd>) -> Self {
        Self { from, to, waiting: Vec::new() }
    }

    /// Returns what is to be waited for.
    pub(super) fn awaits(&self) -> Option<PollFd<'_>> {
        match (&self.to, &self.from) {
            (Some(to), _) if !self.waiting.is_empty() => Some(PollFd::new(to, PollFlags::OUT)),
            (_, from) => from.as_ref().map(|from| PollFd::new(from, PollFlags::IN)),
        }
    }

    /// Does what [`Flow::awaits`] has waited for. Each line ends as a raw terminal needs it, if `is_raw`.
    pub(super) fn go_on(&mut self, is_raw: bool) -> Found {
        if !self.waiting.is_empty() && self.to.is_some() {
            self.write();
            return Found::Bytes;
        }
        self.read(is_raw)
    }

    /// Adds bytes at the end.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// Passes on all that is there, until the source has no more for now, but no more than [`LEFT_MAX`]: something may go on
    /// writing. Waits until the destination takes it.
    pub(super) fn finish(&mut self, is_raw: bool) {
        for _ in 0..LEFT_MAX / CHUNK {
            while !self.waiting.is_empty() && self.to.is_some() {
                self.write();
            }
            if self.read(is_raw) != Found::Bytes {
                return;
            }
        }
    }

    fn read(&mut self, is_raw: bool) -> Found {
        self.waiting.clear();
        let Some(from) = &self.from else { return Found::End };
        let mut bytes = [0; CHUNK];
        match read(from, &mut bytes) {
            Ok(count @ 1..) => {
                for byte in &bytes[..count] {
                    if is_raw && *byte == b'\n' {
                        self.waiting.push(b'\r');
                    }
                    self.waiting.push(*byte);
                }
                Found::Bytes
            }
            Err(Errno::AGAIN | Errno::INTR) => Found::Nothing,
            // The other side of a terminal ends with EIO.
            Ok(_) | Err(_) => {
                self.from = None;
                Found::End
            }
        }
    }

    fn write(&mut self) {
        let Some(to) = &self.to else { return };
        match write(to, &self.waiting[..self.waiting.len().min(CHUNK)]) {
            Ok(count) => drop(self.waiting.drain(..count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.to = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _, pipe};

    use super::*;

    #[test]
    fn bytes_arrive_and_lines_end_as_a_raw_terminal_needs_it() {
        for (is_raw, expected) in [(false, "a\nb\n"), (true, "a\r\nb\r\n")] {
            let ((from, mut typed), (mut shown, to)) = (pipe().unwrap(), pipe().unwrap());
            let mut flow = Flow::new(Some(from.into()), Some(to.into()));
            typed.write_all(b"a\nb\n").unwrap();
            drop(typed);
            assert_eq!(flow.go_on(is_raw), Found::Bytes);
            flow.finish(is_raw);
            drop(flow);
            let mut text = String::new();
            shown.read_to_string(&mut text).unwrap();
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn what_nobody_takes_is_dropped() {
        let ((from, mut typed), (shown, to)) = (pipe().unwrap(), pipe().unwrap());
        drop(shown);
        let mut flow = Flow::new(Some(from.into()), Some(to.into()));
        typed.write_all(&[0; 3 * CHUNK]).unwrap();
        drop(typed);
        flow.finish(false);
        assert!(flow.awaits().is_none() && flow.to.is_none());
    }
}
