// SPDX-License-Identifier: Apache-2.0
//! The pod's process: what `/init` is from nspawn's start to the pod's end. It does three things.
//!
//! - It takes the requests to stop: SIGTERM, SIGINT, SIGQUIT and SIGHUP. nspawn can't. It knows the first two alone,
//!   ends everything at once on a second, and passes one on whether or not the pod's systemd listens by then; the
//!   kernel drops a signal that process 1 of a namespace has no handler for (pid_namespaces(7)).
//! - It stops and goes on with the pod as a job of the caller's shell ([`crate::job`]).
//! - It ends with the code of the pod's systemd, which nspawn passes on.
//!
//! Requests are held back from the first moment, so none is lost. The first is put to systemd itself, once that listens,
//! and nspawn is ended ([`crate::halt`]): whoever signals every process of the pod signals nspawn, too.
//! That shows by a pipe: systemd closes the descriptors that it was started with and has no unit for right after it
//! has set its signals up (systemd's main.c, after `manager_startup`).
//!
//! It is not in the pod's cgroup: one with processes of its own gives no controllers to those below.
//!
//! Invariant: however often, however early it is asked, the pod is stopped once, in order, with one code.

use std::convert::Infallible;
use std::io::{Read, pipe};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::fcntl::{OFlag, openat};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stdout, setsid};

use pod::layout;

use crate::cgroup::Cgroup;
use crate::failure::{At, Failure, Step};
use crate::halt::{Nspawn, halt};
use crate::in_pod::status::{self, ASKED};
use crate::job::Job;
use crate::mounts::POD;
use crate::nspawn::{self, Command};
use crate::stdio::Stdio;
use crate::sys;

/// A process that a signal ended has this and the signal's number as its code.
const SIGNALLED: i32 = 128;

/// What asks a pod to stop.
const REQUESTS: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP];

/// The signals that ask the pod to stop, held back from being acted on.
#[derive(Debug)]
pub(crate) struct Requests {
    asks: SigSet,
    /// The pod stops by ^Z.
    stops: bool,
}

impl Requests {
    /// Holds them back from now on. A hangup that the caller ignores, as nohup(1) does, is no request; likewise ^Z.
    pub(crate) fn hold() -> Result<Self> {
        let mut asks = SigSet::from_iter(REQUESTS);
        let mut held = asks;
        held.add(Signal::SIGCHLD);
        held.thread_block()?;
        let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
        if ignores(&status, Signal::SIGHUP) {
            asks.remove(Signal::SIGHUP);
        }
        let stops = !ignores(&status, Signal::SIGTSTP);
        // Who ignores SIGCHLD can't wait for a child, and callers may have it ignored.
        sys::default_signals();
        Ok(Self { asks, stops })
    }

    /// What is waited for.
    fn awaited(&self) -> SigSet {
        let mut awaited = self.asks;
        awaited.extend([Signal::SIGCHLD, Signal::SIGCONT]);
        awaited.extend(self.stops.then_some(Signal::SIGTSTP));
        awaited
    }
}

/// What is held back as soon as there is a pod to stop ([`crate::job`]), and SIGPIPE, which a pipe would end this process
/// by.
fn job_signals() -> SigSet {
    SigSet::from_iter([Signal::SIGTSTP, Signal::SIGCONT, Signal::SIGTTIN, Signal::SIGPIPE])
}

fn ignores(status: &str, signal: Signal) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let bit = 1 << (signal as i32 - 1);
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & bit != 0))
}

/// Runs nspawn to its end and returns its code. Where nspawn can't be executed, that error is the child's.
/// `directory`: the pod's, as the host has it.
pub(crate) fn run(
    command: &Command,
    stdio: Stdio,
    offer: OwnedFd,
    requests: &Requests,
    cgroup: &Cgroup,
    directory: &OwnedFd,
    debug: bool,
) -> Result<i32, Failure> {
    // What nspawn and this process say is no output of the pod's, whose end shows by its apps'.
    dup2_stdout(std::io::stderr()).at(Step::Exec)?;
    job_signals().thread_block().at(Step::Exec)?;
    // nspawn's children are this process's once it has ended.
    set_child_subreaper(true).context("cannot become a subreaper").at(Step::Exec)?;
    let (listens, starting) = pipe().context("cannot make a pipe").at(Step::Exec)?;
    match sys::fork().context("cannot fork").at(Step::Exec)? {
        ForkResult::Child => {
            cgroup.enter().at(Step::Namespace)?;
            stdio.become_silent().at(Step::Exec)?;
            match become_nspawn(command, &[offer, starting.into()]).at(Step::Exec)? {}
        }
        ForkResult::Parent { child } => {
            drop((offer, starting));
            let job = Job::new(cgroup, stdio.into_terminal());
            // With `debug` it copies the pod's console.
            let then = if debug { Nspawn::Stays } else { Nspawn::Ends };
            let halt = |nspawn| halt(nspawn, cgroup, then);
            supervise(child, listens, requests, directory, job, halt).at(Step::Exec)
        }
    }
}

fn become_nspawn(command: &Command, passed: &[OwnedFd]) -> Result<Infallible> {
    // Out of reach of the caller's terminal: what it signals is asked of the parent.
    setsid()?;
    // nspawn itself takes SIGTERM and SIGINT, once it can; the others would end it, and nothing else.
    SigSet::from_iter(REQUESTS).thread_set_mask()?;
    nspawn::exec(command, passed)
}

/// `halt` asks for the pod's end and returns the process to wait for from then on; none where systemd does not run.
fn supervise(
    nspawn: Pid,
    mut listens: impl Read,
    requests: &Requests,
    directory: &OwnedFd,
    mut job: Job<'_>,
    halt: impl Fn(Pid) -> Result<Option<Pid>>,
) -> Result<i32> {
    let mut pod = nspawn;
    let signals = SignalFd::with_flags(&requests.awaited(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let mut asked = false;
    let mut began = true;
    loop {
        job.wait(&signals)?;
        while let Some(signal) = next(&signals)? {
            match signal {
                Signal::SIGCHLD => {}
                Signal::SIGCONT => job.continued(),
                Signal::SIGTSTP => job.stop(signal)?,
                _ if asked => {}
                _ => {
                    asked = true;
                    ask(directory);
                    job.end()?;
                    let _ = listens.read(&mut [0]);
                    match halt(nspawn)? {
                        Some(systemd) => pod = systemd,
                        None => began = false,
                    }
                }
            }
        }
        job.tend()?;
        match waitpid(pod, Some(WaitPidFlag::WNOHANG))? {
            // Whatever nspawn says: one of its own processes may have been asked, too, before there was a systemd.
            WaitStatus::Exited(..) if !began && status::none_began(POD)? => return Ok(0),
            WaitStatus::Exited(_, code) => return Ok(code),
            WaitStatus::Signaled(_, signal, _) => return Ok(SIGNALLED + signal as i32),
            _ => {}
        }
    }
}

/// The next signal that waits.
fn next(signals: &SignalFd) -> Result<Option<Signal>> {
    let signal = signals.read_signal()?;
    Ok(signal.map(|signal| Signal::try_from(signal.ssi_signo.cast_signed())).transpose()?)
}

/// Leaves the sign of a request. Without it the pod's code is a failure; it is stopped all the same.
fn ask(directory: &OwnedFd) {
    let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let asked = format!("{}/{ASKED}", layout::STAGE1);
    drop(openat(directory, asked.as_str(), flags, Mode::from_bits_truncate(0o644)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hangups_that_the_caller_ignores() {
        assert!(ignores("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n", Signal::SIGHUP));
        assert!(!ignores("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n", Signal::SIGHUP));
    }
}
