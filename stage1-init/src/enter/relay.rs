// SPDX-License-Identifier: Apache-2.0
//! Passes on what apps write, where the caller's stdout or stderr is a socket: a unit whose output goes to the journal has one.
//! A socket can't be opened anew, as programs do by the name /dev/stdout. So the apps have a pipe, and this process copies
//! from it to the socket while it supervises the pod.
//!
//! Invariant: every byte arrives, in order, as long as the socket takes them. This process ends after that.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags, fcntl_setfl, fstat};
use rustix::io::{Errno, read};
use rustix::net::sockopt::socket_type;
use rustix::net::{SendFlags, SocketType, send};
use rustix::pipe::{PipeFlags, pipe_with};

/// The most bytes that are copied at once: as many as a pipe holds.
const CHUNK: usize = 64 << 10;
/// How long the socket may take nothing at the pod's end, in seconds, until the rest is given up.
const PATIENCE: i64 = 10;

/// A pipe that apps write to, and the socket that its content goes to.
#[derive(Debug)]
pub(crate) struct Relay {
    /// `None` once the pipe or the socket has ended.
    pipe: Option<OwnedFd>,
    socket: OwnedFd,
    /// The bytes that were read from the pipe. The socket has taken the first `taken` of them.
    waiting: Vec<u8>,
    taken: usize,
}

impl Relay {
    /// Tells whether apps need a pipe in place of a descriptor of the caller's.
    ///
    /// A socket of messages is no file to write to, and is left as it is.
    pub(crate) fn is_needed(output: BorrowedFd<'_>) -> Result<bool> {
        let is_socket = FileType::from_raw_mode(fstat(output)?.st_mode) == FileType::Socket;
        Ok(is_socket && socket_type(output)? == SocketType::STREAM)
    }

    /// Makes the pipe for a socket, and returns the end that apps write to.
    pub(crate) fn new(socket: BorrowedFd<'_>) -> Result<(OwnedFd, Self)> {
        let (pipe, end) = pipe_with(PipeFlags::CLOEXEC).context("cannot make a pipe")?;
        fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        let socket = socket.try_clone_to_owned()?;
        Ok((end, Self { pipe: Some(pipe), socket, waiting: Vec::new(), taken: 0 }))
    }

    /// Returns what to wait for.
    pub(crate) fn awaits(&self) -> Option<PollFd<'_>> {
        let pipe = self.pipe.as_ref()?;
        Some(match self.is_empty() {
            true => PollFd::new(pipe, PollFlags::IN),
            false => PollFd::new(&self.socket, PollFlags::OUT),
        })
    }

    fn is_empty(&self) -> bool {
        self.taken == self.waiting.len()
    }

    /// Copies what there is, without waiting. Tells whether there may be more.
    pub(crate) fn tend(&mut self) -> bool {
        match self.copy() {
            Ok(()) => self.pipe.is_some(),
            Err(Errno::AGAIN | Errno::INTR) => false,
            // The socket has no reader any more. Apps that write get SIGPIPE, as they would from the socket.
            Err(_) => {
                self.pipe = None;
                false
            }
        }
    }

    fn copy(&mut self) -> rustix::io::Result<()> {
        let Some(pipe) = &self.pipe else { return Ok(()) };
        if self.is_empty() {
            self.waiting.resize(CHUNK, 0);
            let count = read(pipe, &mut self.waiting[..]);
            self.waiting.truncate(count.unwrap_or_default());
            self.taken = 0;
            if count? == 0 {
                self.pipe = None;
                return Ok(());
            }
        }
        // The socket is the caller's, too, so it stays as it is.
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        self.taken += send(&self.socket, &self.waiting[self.taken..], flags)?;
        Ok(())
    }

    /// Copies all that is left once the apps have ended, or gives it up if the socket takes nothing for a while. Tells whether
    /// all has arrived.
    pub(crate) fn finish(mut self) -> bool {
        let patience = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
        loop {
            while self.tend() {}
            if self.pipe.is_none() || self.is_empty() {
                return self.is_empty();
            }
            let ready =
                poll(&mut [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::OUT)], Some(&patience));
            if ready == Ok(0) {
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    #[test]
    fn every_byte_arrives_in_order_however_slow_the_socket_is() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (end, mut relay) = Relay::new(ours.as_fd()).unwrap();
        drop(ours);
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        let expected = bytes.clone();
        let writer = thread::spawn(move || File::from(end).write_all(&bytes));
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).map(|_| all)
        });
        while let Some(awaited) = relay.awaits() {
            poll(&mut [awaited], None).unwrap();
            relay.tend();
        }
        assert!(relay.finish());
        writer.join().unwrap().unwrap();
        assert!(reader.join().unwrap().unwrap() == expected);
    }

    #[test]
    fn without_a_reader_the_pipe_ends() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (end, mut relay) = Relay::new(ours.as_fd()).unwrap();
        drop(theirs);
        let mut end = File::from(end);
        end.write_all(b"x").unwrap();
        assert!(!relay.tend() && relay.awaits().is_none());
        assert_eq!(end.write_all(b"x").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn what_is_there_at_the_end_arrives_though_the_pipe_is_still_open() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (end, relay) = Relay::new(ours.as_fd()).unwrap();
        File::from(end.try_clone().unwrap()).write_all(b"last").unwrap();
        drop(ours);
        assert!(relay.finish());
        let mut all = String::new();
        theirs.read_to_string(&mut all).unwrap();
        assert_eq!(all, "last");
        drop(end);
    }
}
