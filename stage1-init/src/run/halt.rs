// SPDX-License-Identifier: Apache-2.0
//! Asks the pod's systemd to stop the pod.
//!
//! nspawn would pass a SIGTERM on, but ends everything at once on a second one (nspawn.c, `on_orderly_shutdown`). A
//! supervisor that signals every process of the pod signals nspawn, too. So `/init` signals systemd itself. nspawn
//! then has nothing left to do and is ended, which makes `/init` systemd's parent. However often all processes are
//! signalled after that, only systemd ends the pod.
//!
//! nspawn isn't stopped meanwhile: a supervisor may send SIGCONT to all processes, as systemd does after SIGTERM
//! (systemd.kill(5)), which takes a stop back without a word. systemd is signalled by a descriptor, which is no other
//! process's if nspawn has taken systemd's exit code by then.
//!
//! systemd re-executes itself on a SIGTERM (systemd(1), "Signals"). It keeps its state, its descriptors and its
//! pending signals, this request among them.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, pidfd_open, waitid, waitpid,
};
use sys::process;

use crate::enter::cgroup::Cgroup;

/// SIGRTMIN+3 as systemd counts; it starts `halt.target` (systemd(1), "Signals").
const HALT: i32 = 37;

/// Whether nspawn is still needed once systemd runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nspawn {
    /// It is needed to copy the pod's console.
    Stays,
    Ends,
}

/// Asks systemd to stop the pod, and returns the process whose end is the pod's.
///
/// systemd must listen by now. Returns `None` if there is no systemd, and nspawn, which is not waited for, has ended or is
/// about to. This process must be a subreaper (prctl(2), `PR_SET_CHILD_SUBREAPER`), and nspawn its child.
pub(crate) fn halt(nspawn: Pid, cgroup: &Cgroup, then: Nspawn) -> Result<Option<Pid>> {
    let found = cgroup.processes()?.into_iter().find_map(|process| Some((process, open(process, nspawn)?)));
    let Some((systemd, handle)) = found else { return Ok(None) };
    if then == Nspawn::Ends {
        kill_process(nspawn, Signal::KILL).context("cannot end nspawn")?;
        waitid(WaitId::Pid(nspawn), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
            .context("cannot wait for nspawn")?;
    }
    match process::send_by(&handle, HALT) {
        // nspawn has taken its exit code.
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => return Ok(None),
        sent => sent.context("cannot signal the pod's systemd")?,
    }
    if then == Nspawn::Stays {
        return Ok(Some(nspawn));
    }
    waitpid(Some(nspawn), WaitOptions::empty()).context("cannot wait for nspawn")?;
    Ok(Some(systemd))
}

/// Opens a process if it is nspawn's child and the first in its process namespace.
fn open(process: Pid, nspawn: Pid) -> Option<OwnedFd> {
    let handle = pidfd_open(process, PidfdFlags::empty()).ok()?;
    is_systemd(process, nspawn).then_some(handle)
}

/// Tells whether a process is nspawn's child and the first in its process namespace.
fn is_systemd(process: Pid, nspawn: Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()))
        .is_ok_and(|status| is_first_child(&status, nspawn))
}

fn is_first_child(status: &str, parent: Pid) -> bool {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    field("PPid:").trim() == parent.as_raw_nonzero().to_string()
        && field("NSpid:").split_whitespace().last() == Some("1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_nspawns_child_and_the_first_of_its_namespace() {
        let parent = Pid::from_raw(12).unwrap();
        assert!(is_first_child("Name:\tsystemd\nPPid:\t12\nNSpid:\t13\t1\n", parent));
        assert!(!is_first_child("Name:\tsystemd\nPPid:\t1\nNSpid:\t13\t1\n", parent), "another's");
        assert!(!is_first_child("Name:\t(sd-x)\nPPid:\t12\nNSpid:\t13\n", parent), "not in the pod");
    }
}
