// SPDX-License-Identifier: Apache-2.0
//! The pod as a job of the caller's shell. Its apps are in sessions of their own, where the kernel's job control does not
//! reach them, so `/init`, which is in the caller's, stands for them.
//!
//! Where it is to stop (SIGTSTP, ^Z), it freezes the pod first, and lets it go on once it is continued. A pod whose apps
//! hold the terminal ([`Input::Held`]) stays frozen in the background: the pod stops again, by SIGTTIN, as a program that
//! reads. It can't be told whether an app is about to read, and it could not be kept from it.
//!
//! What stops this process without a word to it (SIGSTOP) does not freeze the pod.

use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::Result;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;

use crate::cgroup::Cgroup;
use crate::terminal::{Input, is_background};

/// How often it is looked whether a pod that can't be stopped, and must not go on, is in the foreground.
const PAUSE: Duration = Duration::from_secs(1);

/// The pod, whose processes are in `cgroup`.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    cgroup: &'a Cgroup,
    input: Input,
    frozen: bool,
    /// The pod is to end, and does so wherever it is.
    ends: bool,
}

impl<'a> Job<'a> {
    /// One that runs.
    pub(crate) fn new(cgroup: &'a Cgroup, input: Input) -> Self {
        Self { cgroup, input, frozen: false, ends: false }
    }

    /// Waits until there is a signal or something to tend to.
    pub(crate) fn wait(&self, signals: &SignalFd) -> Result<()> {
        let (also, timeout) = match &self.input {
            _ if self.frozen => (None, Some(PAUSE)),
            Input::Fed(feed) => feed.awaits(),
            _ => (None, None),
        };
        let timeout = timeout.map_or(PollTimeout::NONE, |time| time.try_into().unwrap_or(PollTimeout::MAX));
        let signals = PollFd::new(signals.as_fd(), PollFlags::POLLIN);
        let mut awaited: Vec<_> = [signals].into_iter().chain(also).collect();
        match poll(&mut awaited, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Stops the pod and this process, and returns once that is continued. The signal is blocked otherwise.
    pub(crate) fn stop(&mut self, signal: Signal) -> Result<()> {
        // Where it can't be frozen, the shell is to have its terminal all the same.
        let _ = self.cgroup.freeze();
        self.frozen = true;
        match signal {
            // As the kernel sends it, to all of the job.
            Signal::SIGTTIN => kill(Pid::from_raw(0), signal)?,
            _ => raise(signal)?,
        }
        let signal = SigSet::from(signal);
        signal.thread_unblock()?;
        Ok(signal.thread_block()?)
    }

    /// This process was continued.
    pub(crate) fn continued(&mut self) {
        if let Input::Fed(feed) = &mut self.input {
            feed.continued();
        }
    }

    /// Lets the pod go on, wherever it is, to end in order.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.ends = true;
        self.go_on()
    }

    /// Does what the pod's place in the foreground or background asks for.
    pub(crate) fn tend(&mut self) -> Result<()> {
        let stops = match &mut self.input {
            _ if self.ends => false,
            Input::None => false,
            // It was in the foreground before it was frozen.
            Input::Held(terminal) => self.frozen && is_background(terminal)?,
            Input::Fed(feed) if !self.frozen => feed.tend(|| self.cgroup.processes())?,
            Input::Fed(_) => false,
        };
        if stops { self.stop(Signal::SIGTTIN) } else { self.go_on() }
    }

    fn go_on(&mut self) -> Result<()> {
        if std::mem::take(&mut self.frozen) {
            self.cgroup.thaw()?;
        }
        Ok(())
    }
}
