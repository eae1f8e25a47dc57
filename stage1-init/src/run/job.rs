// SPDX-License-Identifier: Apache-2.0
//! The pod as a job of the caller's shell.
//!
//! The apps are in sessions of their own, where the kernel's job control does not reach them. `/init` is in the
//! caller's session, so it acts for them.
//!
//! When `/init` is to stop (SIGTSTP, ^Z), it freezes the pod first, and lets it go on once `/init` is continued. A pod
//! whose apps hold the terminal ([`terminal::Input::Held`]) stays frozen in the background: it stops again by SIGTTIN, as a
//! program that reads does. The reason is that `/init` can't tell whether an app is about to read, and could not keep
//! it from reading.
//!
//! The kernel doesn't stop a process by SIGTSTP if no process of its session could continue it, as in the background
//! (setpgid(2), orphaned process groups). If a process has sent that signal (`gantry kill`), the pod is frozen all the
//! same, until SIGCONT, while `/init` continues.
//!
//! SIGSTOP stops this process without notice, so it does not freeze the pod.

use std::os::fd::AsFd as _;
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::kill_current_process_group;

use crate::enter::cgroup::Cgroup;
use crate::enter::terminal::{self, Held, is_background};
use crate::run::feed::Feed;

/// How often to check whether a frozen pod that could not be stopped is in the foreground.
const PAUSE: Duration = Duration::from_secs(1);

/// How the pod's apps have the terminal that is their stdin ([`terminal::Input`]).
#[derive(Debug)]
enum Input {
    None,
    Held(Held),
    Fed(Feed),
}

/// The pod as a job; its processes are in `cgroup`.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    cgroup: &'a Cgroup,
    input: Input,
    frozen: bool,
    /// It stays frozen until it is continued.
    stopped: bool,
    /// The pod is to end, in the foreground or the background.
    ends: bool,
}

impl<'a> Job<'a> {
    /// Makes the job of a running pod.
    pub(crate) fn new(cgroup: &'a Cgroup, input: terminal::Input) -> Result<Self> {
        let input = match input {
            terminal::Input::None => Input::None,
            terminal::Input::Held(held) => Input::Held(held),
            terminal::Input::Fed { terminal, pipe } => Input::Fed(Feed::new(terminal, pipe)?),
        };
        Ok(Self { cgroup, input, frozen: false, stopped: false, ends: false })
    }

    /// Waits until a signal arrives, one of `others` is ready or [`Job::tend`] has something to do.
    pub(crate) fn wait<'d>(
        &'d self,
        signals: &'d SignalFd,
        others: impl Iterator<Item = PollFd<'d>>,
    ) -> Result<()> {
        let (also, timeout) = match &self.input {
            _ if self.frozen => (None, Some(PAUSE)),
            Input::Fed(feed) => feed.awaits(),
            _ => (None, None),
        };
        let timeout = timeout.and_then(|time| Timespec::try_from(time).ok());
        let signals = PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN);
        let mut awaited: Vec<_> = std::iter::once(signals).chain(others).chain(also).collect();
        match poll(&mut awaited, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Stops the pod and this process, and returns once this process is continued, or at once if the kernel doesn't stop it.
    /// Then the pod stays frozen if a process has `sent` the signal.
    ///
    /// `signal` must be blocked; it is unblocked only in here.
    pub(crate) fn stop(&mut self, signal: Signal, sent: bool) -> Result<()> {
        // If the pod can't be frozen, this process stops all the same, so that the shell gets its terminal.
        let _ = self.cgroup.freeze();
        (self.frozen, self.stopped) = (true, sent);
        match signal {
            // Sent to the whole job, as the kernel does.
            Signal::SIGTTIN => kill_current_process_group(rustix::process::Signal::TTIN)?,
            _ => raise(signal)?,
        }
        let signal = SigSet::from(signal);
        signal.thread_unblock()?;
        Ok(signal.thread_block()?)
    }

    /// Notes that this process was continued, whatever had stopped it.
    pub(crate) fn continued(&mut self) -> Result<()> {
        self.stopped = false;
        match &mut self.input {
            Input::None => {}
            Input::Fed(feed) => feed.continued(),
            // SIGSTOP and SIGTTOU stop this process alone, and it may be in the background now: `tend` looks.
            Input::Held(_) if self.ends => {}
            Input::Held(_) => {
                self.cgroup.freeze()?;
                self.frozen = true;
            }
        }
        Ok(())
    }

    /// Lets the pod go on, in the foreground or the background, so that it can end in order.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.ends = true;
        self.go_on()
    }

    /// Stops the pod or lets it go on, depending on whether it is in the foreground.
    pub(crate) fn tend(&mut self) -> Result<()> {
        let stops = match &mut self.input {
            _ if self.ends => false,
            _ if self.stopped => return Ok(()),
            Input::None => false,
            // It was in the foreground before it was frozen.
            Input::Held(held) => self.frozen && is_background(held.terminal())?,
            Input::Fed(feed) if !self.frozen => feed.tend(|| self.cgroup.processes())?,
            Input::Fed(_) => false,
        };
        if stops { self.stop(Signal::SIGTTIN, false) } else { self.go_on() }
    }

    fn go_on(&mut self) -> Result<()> {
        if std::mem::take(&mut self.frozen) {
            self.cgroup.thaw()?;
        }
        Ok(())
    }
}
