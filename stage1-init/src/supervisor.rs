// SPDX-License-Identifier: Apache-2.0
//! The pod's process: what `/init` is from nspawn's start to the pod's end. It does three things.
//!
//! - It takes the requests to stop: SIGTERM, SIGINT, SIGQUIT and SIGHUP. nspawn can't. It knows the first two alone,
//!   ends everything at once on a second, and passes one on whether or not the pod's systemd listens by then; the
//!   kernel drops a signal that process 1 of a namespace has no handler for (pid_namespaces(7)).
//! - It stops and goes on with the pod as a job of the caller's shell ([`crate::job`]).
//! - It ends with the code that the pod has recorded ([`crate::outcome`]). Where there is none, nspawn or systemd has
//!   failed: that is told in one line, with what nspawn said.
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
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, anyhow};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdout, setsid};

use crate::cgroup::Cgroup;
use crate::failure::{At, Failure, Step};
use crate::halt::{Nspawn, halt};
use crate::in_pod::status;
use crate::job::Job;
use crate::mounts::POD;
use crate::nspawn::{self, Command};
use crate::outcome::{self, OURS};
use crate::stdio::Stdio;
use crate::{inotify, sys};

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

/// Runs nspawn to its end and returns the pod's code. With `debug`, what nspawn says goes to stderr as it is said.
pub(crate) fn run(
    command: &Command,
    stdio: Stdio,
    offer: OwnedFd,
    requests: &Requests,
    cgroup: &Cgroup,
    debug: bool,
) -> Result<u8, Failure> {
    // What nspawn and this process say is no output of the pod's, whose end shows by its apps'.
    dup2_stdout(std::io::stderr()).at(Step::Exec)?;
    job_signals().thread_block().at(Step::Exec)?;
    // nspawn's children are this process's once it has ended.
    set_child_subreaper(true).context("cannot become a subreaper").at(Step::Exec)?;
    let (listens, starting) = pipe().context("cannot make a pipe").at(Step::Exec)?;
    let (said, says) = lossy_pipe().context("cannot make a pipe").at(Step::Exec)?;
    match sys::fork().context("cannot fork").at(Step::Exec)? {
        ForkResult::Child => {
            let passed = [offer, starting.into()];
            let never = (|| {
                cgroup.enter().at(Step::Namespace)?;
                stdio.become_silent().at(Step::Exec)?;
                become_nspawn(command, &passed, (!debug).then_some(&says)).at(Step::Exec)
            })();
            let Err(Failure { step, error }) = never;
            // The parent tells it.
            let _ = OURS.fail(step, &error);
            sys::exit_at_once(u8::MAX)
        }
        ForkResult::Parent { child } => {
            drop((offer, starting, says));
            let job = Job::new(cgroup, stdio.into_terminal());
            // With `debug` it copies the pod's console.
            let then = if debug { Nspawn::Stays } else { Nspawn::Ends };
            let halt = |nspawn| halt(nspawn, cgroup, then);
            let ended = supervise(child, listens, requests, job, halt).at(Step::Exec)?;
            conclude(ended, said)
        }
    }
}

/// A pipe whose writers never wait: what has no place in it is lost.
fn lossy_pipe() -> Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = pipe()?;
    for end in [reader.as_fd(), writer.as_fd()] {
        fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    Ok((reader, writer))
}

fn become_nspawn(command: &Command, passed: &[OwnedFd], says: Option<&PipeWriter>) -> Result<Infallible> {
    // Out of reach of the caller's terminal: what it signals is asked of the parent.
    setsid()?;
    if let Some(says) = says {
        dup2_stdout(says)?;
        dup2_stderr(says)?;
    }
    // nspawn itself takes SIGTERM and SIGINT, once it can; the others would end it, and nothing else.
    SigSet::from_iter(REQUESTS).thread_set_mask()?;
    nspawn::exec(command, passed)
}

/// Waits for the pod's end; returns how nspawn, or systemd in its place, ended. `halt` asks for that end and returns the
/// process to wait for from then on; none where systemd does not run.
fn supervise(
    nspawn: Pid,
    mut listens: impl Read,
    requests: &Requests,
    mut job: Job<'_>,
    halt: impl Fn(Pid) -> Result<Option<Pid>>,
) -> Result<WaitStatus> {
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
                    // Without it the pod's code is a failure; it is stopped all the same.
                    let _ = OURS.ask();
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
        let ended = waitpid(pod, Some(WaitPidFlag::WNOHANG))?;
        if matches!(ended, WaitStatus::Exited(..) | WaitStatus::Signaled(..)) {
            // Whatever nspawn says: one of its own processes may have been asked, too, before there was a systemd.
            if !began {
                status::none_began(POD)?;
            }
            return Ok(ended);
        }
    }
}

/// The next signal that waits.
fn next(signals: &SignalFd) -> Result<Option<Signal>> {
    let signal = signals.read_signal()?;
    Ok(signal.map(|signal| Signal::try_from(signal.ssi_signo.cast_signed())).transpose()?)
}

/// The pod's code, as the pod has recorded it; where it has not, nspawn's end and what it `said` are the failure.
fn conclude(nspawn: WaitStatus, mut said: PipeReader) -> Result<u8, Failure> {
    let mut text = Vec::new();
    // It ends where there is no more for now: processes of the pod may have the other end still.
    let _ = said.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    if let Some(code) = OURS.read()? {
        let _ = std::io::stderr().write_all(text.as_bytes());
        return Ok(code);
    }
    let (ended, code) = match nspawn {
        WaitStatus::Exited(_, code) => (format!("exited with {code}"), Some(code)),
        WaitStatus::Signaled(_, signal, _) => (format!("was ended by {signal}"), None),
        other => (format!("ended as {other:?}"), None),
    };
    let reason = if outcome::is_removed(POD) { Some(outcome::REMOVED.into()) } else { inotify::reason(code) };
    let reasons = text.lines().map(str::to_owned).chain(reason);
    let reasons: String = reasons.map(|reason| format!(": {reason}")).collect();
    Err(anyhow!("systemd-nspawn {ended} before the pod had a code{reasons}")).at(Step::Exec)
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
