// SPDX-License-Identifier: Apache-2.0
//! The pod's process: what `/init` is from nspawn's start to the pod's end. It does two things.
//!
//! - It takes the requests to stop: SIGTERM, SIGINT, SIGQUIT and SIGHUP. nspawn can't. It knows the first two alone,
//!   ends everything at once on a second, and passes one on whether or not the pod's systemd listens by then; the
//!   kernel drops a signal that process 1 of a namespace has no handler for (pid_namespaces(7)).
//! - It ends with the code that the pod has recorded ([`crate::outcome`]). Where there is none, nspawn or systemd has
//!   failed: that is told in one line, with what nspawn said.
//!
//! Requests are held back from the first moment, so none is lost, and the first is passed on once systemd listens.
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
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdout, setsid};

use crate::cgroup::Cgroup;
use crate::failure::{At, Failure, Step};
use crate::mounts::POD;
use crate::nspawn::{self, Command};
use crate::outcome::{self, OURS};
use crate::{inotify, sys};

/// What asks a pod to stop.
const REQUESTS: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP];

/// The signals that ask the pod to stop, held back from being acted on.
#[derive(Debug)]
pub(crate) struct Requests(SigSet);

impl Requests {
    /// Holds them back from now on. A hangup that the caller ignores, as nohup(1) does, is no request.
    pub(crate) fn hold() -> Result<Self> {
        let mut requests = SigSet::from_iter(REQUESTS);
        let mut held = requests;
        held.add(Signal::SIGCHLD);
        held.thread_block()?;
        let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
        if ignores_hangups(&status) {
            requests.remove(Signal::SIGHUP);
        }
        // Who ignores SIGCHLD can't wait for a child, and callers may have it ignored.
        sys::default_signals();
        Ok(Self(requests))
    }
}

fn ignores_hangups(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 != 0))
}

/// Runs nspawn to its end and returns the pod's code. With `debug`, what nspawn says goes to stderr as it is said.
pub(crate) fn run(
    command: &Command,
    stdio: OwnedFd,
    requests: &Requests,
    cgroup: &Cgroup,
    debug: bool,
) -> Result<u8, Failure> {
    // What nspawn and this process say is no output of the pod's, whose end shows by its apps'.
    dup2_stdout(std::io::stderr()).at(Step::Exec)?;
    let (listens, starting) = pipe().context("cannot make a pipe").at(Step::Exec)?;
    let (said, says) = lossy_pipe().context("cannot make a pipe").at(Step::Exec)?;
    match sys::fork().context("cannot fork").at(Step::Exec)? {
        ForkResult::Child => {
            let passed = [stdio, starting.into()];
            let entered = cgroup.enter().at(Step::Namespace);
            let never = entered
                .and_then(|()| become_nspawn(command, &passed, (!debug).then_some(&says)).at(Step::Exec));
            let Err(Failure { step, error }) = never;
            // The parent tells it.
            let _ = OURS.fail(step, &error);
            sys::exit_at_once(u8::MAX)
        }
        ForkResult::Parent { child } => {
            drop((stdio, starting, says));
            let ended = supervise(child, listens, requests).at(Step::Exec)?;
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
    // nspawn itself takes it, once it can.
    SigSet::from(Signal::SIGTERM).thread_set_mask()?;
    nspawn::exec(command, passed)
}

fn supervise(nspawn: Pid, mut listens: impl Read, requests: &Requests) -> Result<WaitStatus> {
    let mut awaited = requests.0;
    awaited.add(Signal::SIGCHLD);
    let mut asked = false;
    loop {
        if awaited.wait()? != Signal::SIGCHLD && !asked {
            asked = true;
            // Without it the pod's code is a failure; it is stopped all the same.
            let _ = OURS.ask();
            let _ = listens.read(&mut [0]);
            let _ = kill(nspawn, Signal::SIGTERM);
        }
        let ended = waitpid(nspawn, Some(WaitPidFlag::WNOHANG))?;
        if matches!(ended, WaitStatus::Exited(..) | WaitStatus::Signaled(..)) {
            return Ok(ended);
        }
    }
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
        assert!(ignores_hangups("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hangups("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n"));
    }
}
