// SPDX-License-Identifier: Apache-2.0
//! The pod's process: what `/init` is from nspawn's start to the pod's end. It has three tasks.
//!
//! - It takes the requests to stop: SIGTERM, SIGINT, SIGQUIT and SIGHUP. nspawn can't do that. It handles only the
//!   first two, ends everything at once on a second one, and passes one on whether or not the pod's systemd listens by
//!   then. The kernel drops a signal that process 1 of a namespace has no handler for (pid_namespaces(7)).
//! - It stops and continues the pod as a job of the caller's shell ([`crate::run::job`]).
//! - It ends with the exit code that the pod has recorded ([`crate::exchange::outcome`]). If there is none, nspawn or systemd
//!   has failed. That is reported in one line, with nspawn's messages.
//!
//! Requests are held back from the first moment, so none is lost. The first one is sent to systemd itself as soon as
//! systemd listens, and nspawn is ended ([`crate::run::halt`]), since a supervisor that signals every process of the pod
//! signals nspawn, too. A pipe shows when systemd listens: right after systemd has set up its signals, it closes the
//! descriptors that it was started with and has no unit for (systemd's main.c, after `manager_startup`).
//!
//! This process is not in the pod's cgroup, because a cgroup with processes of its own can't enable controllers for
//! the cgroups below.
//!
//! Invariant: however often and however early it is asked, the pod is stopped once, in order, with one exit code.

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

use crate::enter::cgroup::Cgroup;
use crate::enter::private_root::POD;
use crate::enter::stdio::Stdio;
use crate::exchange::outcome::{self, OURS};
use crate::failure::{At, Failure, Step};
use crate::helpers::status;
use crate::run::halt::{Nspawn, halt};
use crate::run::inotify;
use crate::run::job::Job;
use crate::run::nspawn::{self, Command};
use crate::sys;

/// The signals that ask a pod to stop.
const REQUESTS: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP];

/// The signals that ask the pod to stop, held back from being acted on.
#[derive(Debug)]
pub(crate) struct Requests {
    asks: SigSet,
    /// Whether ^Z (SIGTSTP) stops the pod.
    stops: bool,
}

impl Requests {
    /// Holds the requests back from now on.
    ///
    /// A hangup that the caller ignores, as nohup(1) does, is no request. Likewise, an ignored ^Z does not stop the
    /// pod.
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
        // A process that ignores SIGCHLD can't wait for its children, and the caller may have set it to ignore that.
        sys::default_signals();
        Ok(Self { asks, stops })
    }

    /// Returns the signals to wait for.
    fn awaited(&self) -> SigSet {
        let mut awaited = self.asks;
        awaited.extend([Signal::SIGCHLD, Signal::SIGCONT]);
        awaited.extend(self.stops.then_some(Signal::SIGTSTP));
        awaited
    }
}

/// Returns the signals that are held back as soon as there is a pod to stop ([`crate::run::job`]).
///
/// SIGPIPE is among them, because a write to a pipe could otherwise end this process.
fn job_signals() -> SigSet {
    SigSet::from_iter([Signal::SIGTSTP, Signal::SIGCONT, Signal::SIGTTIN, Signal::SIGPIPE])
}

fn ignores(status: &str, signal: Signal) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let bit = 1 << (signal as i32 - 1);
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & bit != 0))
}

/// Runs nspawn to its end and returns the pod's exit code.
///
/// With `debug`, nspawn's messages go to stderr at once.
pub(crate) fn run(
    command: &Command,
    stdio: Stdio,
    offer: OwnedFd,
    requests: &Requests,
    cgroup: &Cgroup,
    debug: bool,
) -> Result<u8, Failure> {
    // Messages of nspawn and of this process are not the pod's output. stdout ends when the apps have closed theirs.
    dup2_stdout(std::io::stderr()).at(Step::Exec)?;
    job_signals().thread_block().at(Step::Exec)?;
    // nspawn's children become this process's once nspawn has ended.
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
            // The parent reports the failure.
            let _ = OURS.fail(step, &error);
            sys::exit_at_once(u8::MAX)
        }
        ForkResult::Parent { child } => {
            drop((offer, starting, says));
            let job = Job::new(cgroup, stdio.into_terminal());
            // With `debug`, nspawn copies the pod's console.
            let then = if debug { Nspawn::Stays } else { Nspawn::Ends };
            let halt = |nspawn| halt(nspawn, cgroup, then);
            let (name, ended) = supervise(child, listens, requests, job, halt).at(Step::Exec)?;
            conclude(name, ended, said)
        }
    }
}

/// Makes a pipe whose writers never wait: what does not fit into it is lost.
fn lossy_pipe() -> Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = pipe()?;
    for end in [reader.as_fd(), writer.as_fd()] {
        fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    Ok((reader, writer))
}

fn become_nspawn(command: &Command, passed: &[OwnedFd], says: Option<&PipeWriter>) -> Result<Infallible> {
    // A new session is out of reach of the caller's terminal, whose signals the parent handles.
    setsid()?;
    if let Some(says) = says {
        dup2_stdout(says)?;
        dup2_stderr(says)?;
    }
    // nspawn itself handles SIGTERM and SIGINT, once it can; the others would end nspawn and nothing else.
    SigSet::from_iter(REQUESTS).thread_set_mask()?;
    nspawn::exec(command, passed)
}

/// Waits for the pod's end, and returns how nspawn, or systemd in its place, ended.
///
/// `halt` asks for that end and returns the process to wait for from then on, or `None` if systemd does not run.
fn supervise(
    nspawn: Pid,
    mut listens: impl Read,
    requests: &Requests,
    mut job: Job<'_>,
    halt: impl Fn(Pid) -> Result<Option<Pid>>,
) -> Result<(&'static str, WaitStatus)> {
    let mut pod = nspawn;
    let signals = SignalFd::with_flags(&requests.awaited(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let mut asked = false;
    let mut began = true;
    loop {
        job.wait(&signals)?;
        while let Some(signal) = next(&signals)? {
            match signal {
                Signal::SIGCHLD => {}
                Signal::SIGCONT => job.continued()?,
                Signal::SIGTSTP => job.stop(signal)?,
                _ if asked => {}
                _ => {
                    asked = true;
                    // If this fails, the pod's exit code is a failure, but the pod is stopped all the same.
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
            // nspawn's exit code doesn't matter: one of its processes may have been signalled, too, before systemd
            // ran.
            if !began {
                status::none_began(POD)?;
            }
            let name = if pod == nspawn { "systemd-nspawn" } else { "the pod's systemd" };
            return Ok((name, ended));
        }
    }
}

/// Returns the next pending signal, if there is any.
fn next(signals: &SignalFd) -> Result<Option<Signal>> {
    let signal = signals.read_signal()?;
    Ok(signal.map(|signal| Signal::try_from(signal.ssi_signo.cast_signed())).transpose()?)
}

/// Returns the exit code that the pod has recorded.
///
/// If it has recorded none, fails with the way nspawn ended and with what nspawn `said`.
fn conclude(name: &str, ended: WaitStatus, mut said: PipeReader) -> Result<u8, Failure> {
    let mut text = Vec::new();
    // Reads only what is there now: processes of the pod may still have the other end open.
    let _ = said.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    if let Some(code) = OURS.read()? {
        let _ = std::io::stderr().write_all(text.as_bytes());
        return Ok(code);
    }
    let (ended, code) = match ended {
        WaitStatus::Exited(_, code) => (format!("exited with {code}"), Some(code)),
        WaitStatus::Signaled(_, signal, _) => (format!("was ended by {signal}"), None),
        other => (format!("ended as {other:?}"), None),
    };
    let reason = if outcome::is_removed(POD) { Some(outcome::REMOVED.into()) } else { inotify::reason(code) };
    let reasons = text.lines().map(str::to_owned).chain(reason);
    let reasons: String = reasons.map(|reason| format!(": {reason}")).collect();
    Err(anyhow!("{name} {ended} before the pod had a code{reasons}")).at(Step::Exec)
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
