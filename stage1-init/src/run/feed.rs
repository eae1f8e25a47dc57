// SPDX-License-Identifier: Apache-2.0
//! The stdin of a pod that was started in the background: a pipe. `/init` copies what is typed into it once the pod is
//! in the foreground.
//!
//! In the background nothing is copied, whatever the apps do, since the kernel doesn't let `/init` read. An app that
//! reads then waits at the pipe. Such a pod has to stop, as any program would, so `/init` checks from time to time
//! whether an app is reading (proc_pid_syscall(5)). A pod that only writes goes on. If nothing can stop the pod, its
//! input ends.

use std::fs::{File, read_dir, read_link, read_to_string};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use libc::{POLLIN, SYS_ppoll, SYS_pselect6, SYS_read, SYS_readv, SYS_restart_syscall, SYS_splice};
#[cfg(target_arch = "x86_64")]
use libc::{SYS_poll, SYS_select};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::fstat;
use rustix::io::{Errno, read, write};
use rustix::process::Pid;

use crate::enter::terminal::is_background;

/// How long to wait between checks for a reader: `FIRST`, then ever longer, up to `LAST`.
const FIRST: Duration = Duration::from_millis(50);
const LAST: Duration = Duration::from_secs(1);

/// The most that can be typed at once (n_tty.c, `N_TTY_BUF_SIZE`).
const CHUNK: usize = 4096;

/// The numbers of select(2) and poll(2), of which newer machines have one each. A poll that was frozen shows as
/// restart_syscall(2), with the poll's arguments.
#[cfg(target_arch = "x86_64")]
const SELECTS: [i64; 2] = [SYS_pselect6, SYS_select];
#[cfg(target_arch = "x86_64")]
const POLLS: [i64; 3] = [SYS_restart_syscall, SYS_ppoll, SYS_poll];
#[cfg(not(target_arch = "x86_64"))]
const SELECTS: [i64; 1] = [SYS_pselect6];
#[cfg(not(target_arch = "x86_64"))]
const POLLS: [i64; 2] = [SYS_restart_syscall, SYS_ppoll];

/// A terminal and the pipe that it is copied to.
#[derive(Debug)]
pub(crate) struct Feed {
    terminal: OwnedFd,
    pipe: Option<OwnedFd>,
    /// The pipe's name, as /proc shows it.
    name: String,
    /// The bytes that were read from the terminal and do not fit into the pipe yet.
    waiting: Vec<u8>,
    background: bool,
    pause: Duration,
    /// The pod was told to stop, and has not been continued since.
    stopped: bool,
}

impl Feed {
    /// Feeds `pipe` from `terminal`. Both must be opened with `O_NONBLOCK`.
    pub(crate) fn new(terminal: OwnedFd, pipe: OwnedFd) -> Result<Self> {
        let name = format!("pipe:[{}]", fstat(&pipe)?.st_ino);
        let (waiting, background) = (Vec::new(), true);
        Ok(Self { terminal, pipe: Some(pipe), name, waiting, background, pause: FIRST, stopped: false })
    }

    /// Returns what to wait for, and for how long.
    pub(crate) fn awaits(&self) -> (Option<PollFd<'_>>, Option<Duration>) {
        match &self.pipe {
            None => (None, None),
            Some(_) if self.background => (None, Some(self.pause)),
            Some(pipe) if !self.waiting.is_empty() => (Some(PollFd::new(pipe, PollFlags::OUT)), None),
            Some(_) => (Some(PollFd::new(&self.terminal, PollFlags::IN)), None),
        }
    }

    /// Notes that the pod's process was continued.
    pub(crate) fn continued(&mut self) {
        (self.stopped, self.pause) = (false, FIRST);
    }

    /// Copies the input that is there. Tells whether the pod is to stop, because it reads in the background.
    pub(crate) fn tend(&mut self, processes: impl FnOnce() -> Result<Vec<Pid>>) -> Result<bool> {
        if self.pipe.is_none() {
            return Ok(false);
        }
        self.background = is_background(&self.terminal)?;
        if !self.background {
            self.continued();
            self.copy();
            return Ok(false);
        }
        self.pause = (self.pause * 2).min(LAST);
        let reads = processes()?.into_iter().any(|process| self.is_read_by(process));
        if reads && self.stopped {
            self.pipe = None;
        }
        Ok(reads && !std::mem::replace(&mut self.stopped, reads))
    }

    fn copy(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        if self.waiting.is_empty() {
            let mut bytes = [0; CHUNK];
            match read(&self.terminal, &mut bytes[..]) {
                Ok(count) if count > 0 => self.waiting.extend_from_slice(&bytes[..count]),
                // This process is in the background, there is no input, or other processes are reading: try again
                // later.
                Err(Errno::IO | Errno::AGAIN | Errno::INTR) => return,
                // The input (^D) or the terminal has ended.
                Ok(_) | Err(_) => {
                    self.pipe = None;
                    return;
                }
            }
        }
        match write(pipe, &self.waiting) {
            Ok(count) => drop(self.waiting.drain(..count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // The pipe has no reader any more.
            Err(_) => self.pipe = None,
        }
    }

    /// Tells whether a thread of the process waits for this pipe's input and nothing else.
    fn is_read_by(&self, process: Pid) -> bool {
        let threads =
            read_dir(format!("/proc/{}/task", process.as_raw_nonzero())).into_iter().flatten().flatten();
        threads.map(|thread| thread.path()).any(|thread| {
            let call = read_to_string(thread.join("syscall")).unwrap_or_default();
            let fd = match Waits::parse(&call) {
                Some(Waits::Read(fd)) => Some(fd),
                Some(Waits::Poll(address)) => polled(&thread, address),
                None => None,
            };
            let leads = fd.and_then(|fd| read_link(thread.join(format!("fd/{fd}"))).ok());
            leads.is_some_and(|leads| leads.as_os_str() == &*self.name)
        })
    }
}

/// A system call that waits for a single descriptor.
#[derive(Debug, PartialEq, Eq)]
enum Waits {
    /// It waits for this descriptor.
    Read(u64),
    /// It waits for the descriptor in the `pollfd` at this address.
    Poll(u64),
}

impl Waits {
    /// Parses a line of /proc/PID/syscall: the call's number and its arguments.
    ///
    /// Calls that poll count too, since a shell waits before it reads.
    fn parse(call: &str) -> Option<Self> {
        let mut words = call.split_whitespace();
        let number: i64 = words.next()?.parse().ok()?;
        let mut argument = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
        let (first, second) = (argument()?, argument()?);
        if [SYS_read, SYS_readv, SYS_splice].contains(&number) {
            return Some(Self::Read(first));
        }
        // The argument is the highest descriptor plus one for select(2), the number of descriptors for poll(2).
        let (selects, polls) =
            (SELECTS.contains(&number) && first == 1, POLLS.contains(&number) && second == 1);
        if selects { Some(Self::Read(0)) } else { polls.then_some(Self::Poll(first)) }
    }
}

/// Returns the descriptor whose input a thread polls for (poll(2), `struct pollfd`).
fn polled(thread: &Path, address: u64) -> Option<u64> {
    let mut bytes = [0; 6];
    File::open(thread.join("mem")).ok()?.read_exact_at(&mut bytes, address).ok()?;
    let [f0, f1, f2, f3, e0, e1] = bytes;
    let awaits_input = i16::from_ne_bytes([e0, e1]) & POLLIN != 0;
    u64::try_from(i32::from_ne_bytes([f0, f1, f2, f3])).ok().filter(|_| awaits_input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_waits_for() {
        let parse = |number: i64, rest: &str| Waits::parse(&format!("{number} {rest}"));
        assert_eq!(parse(SYS_read, "0x11 0x7ffc 0x400\n"), Some(Waits::Read(17)));
        assert_eq!(parse(libc::SYS_write, "0x0 0x7ffc\n"), None);
        assert_eq!(parse(SYS_ppoll, "0x7ffc 0x1\n"), Some(Waits::Poll(0x7ffc)));
        assert_eq!(parse(SYS_ppoll, "0x7ffc 0x2\n"), None, "for something else as well");
        assert_eq!(Waits::parse("running\n"), None);
        assert_eq!(Waits::parse("-1 0x7ffc 0x7f\n"), None);
    }
}
