// SPDX-License-Identifier: Apache-2.0
//! A pod's process, found by the lock that it holds.
//!
//! No file says which process is a pod's. `/init` has its pod directory locked (flock(2)), and `/proc/locks` names the
//! process that took a lock. That process may be gone: the reaper holds the same lock after it, and the number may be
//! another process's by now. So the number is a candidate only. The process is opened (pidfd_open(2)), one of its
//! descriptors is found to hold a lock on this very directory (`/proc/PID/fdinfo`), and only then is it the pod's. If it
//! has not ended after that check, then it was this process, and no later one of its number, that was checked.
//!
//! Invariant: a signal goes to the process that was checked, or to none.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Stat, fstat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The name of a pod's process (`stage1-init/src/start.rs`). Commands that lock a pod directory for a moment have other
/// names.
const INIT: &str = "init\n";

/// A pod's process. It may have ended.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    handle: OwnedFd,
}

/// The process that holds a pod's lock.
#[derive(Debug)]
pub(crate) enum Holder {
    /// The pod's process.
    Init(Process),
    /// A command that works on the directory for a moment.
    Command,
    /// A process that can't be seen: a reaper whose pod's process has ended, or one of another process namespace.
    Unseen,
}

impl Process {
    /// Opens a process. Returns `None` if there is none of this number, or if `is_it` says no.
    pub(crate) fn open(pid: Pid, is_it: impl FnOnce(Pid) -> bool) -> Result<Option<Self>> {
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            opened => opened.with_context(|| format!("cannot open process {pid}"))?,
        };
        let process = Self { pid, handle };
        // The order matters: if the opened process has not ended by now, what was just found is true of it.
        let is_it = is_it(pid);
        Ok((is_it && !process.has_ended()?).then_some(process))
    }

    /// Opens a child of this process that has not been waited for, or its parent.
    ///
    /// # Errors
    /// If it can't be opened.
    pub fn of_family(id: u32) -> Result<Self> {
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).context("no such process")?;
        let handle = pidfd_open(pid, PidfdFlags::empty());
        Ok(Self { pid, handle: handle.with_context(|| format!("cannot open process {pid}"))? })
    }

    /// Returns the process's id, as this process sees it.
    pub fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Sends a signal. Tells whether the process was there to get it.
    pub fn signal(&self, signal: Signal) -> Result<bool> {
        match pidfd_send_signal(&self.handle, signal) {
            Err(Errno::SRCH) => Ok(false),
            sent => sent.map(|()| true).with_context(|| format!("cannot signal process {}", self.id())),
        }
    }

    /// Tells whether the process has ended.
    pub(crate) fn has_ended(&self) -> Result<bool> {
        self.ends_within(Duration::ZERO)
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// If that fails.
    pub fn wait(&self) -> Result<()> {
        while !self.ends_within(Duration::from_secs(3600))? {}
        Ok(())
    }

    /// Waits for the end, at most for this time. A signal to this process ends the wait early.
    pub(crate) fn ends_within(&self, time: Duration) -> Result<bool> {
        // A time that is too long for the call means no limit.
        let time = Timespec::try_from(time).ok();
        match poll(&mut [PollFd::new(&self.handle, PollFlags::IN)], time.as_ref()) {
            Err(Errno::INTR) => Ok(false),
            ready => Ok(ready.context("cannot wait for a process")? > 0),
        }
    }

    /// Returns the descriptor that becomes readable when the process has ended.
    pub fn handle(&self) -> &OwnedFd {
        &self.handle
    }
}

/// Returns the process that holds the exclusive lock on a pod directory.
pub(crate) fn holder(directory: &OwnedFd) -> Result<Holder> {
    let of = fstat(directory)?;
    let locks = fs::read_to_string("/proc/locks").context("cannot read /proc/locks")?;
    for pid in lockers(&locks, of.st_ino) {
        let Some(pid) = Pid::from_raw(pid) else { continue };
        let mut name = String::new();
        let process = Process::open(pid, |pid| {
            name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            has_locked(pid, &of)
        })?;
        match process {
            Some(process) if name == INIT => return Ok(Holder::Init(process)),
            Some(_) => return Ok(Holder::Command),
            None => {}
        }
    }
    Ok(Holder::Unseen)
}

/// Tells whether one of the process's descriptors holds a lock on this directory.
fn has_locked(pid: Pid, of: &Stat) -> bool {
    let numbers = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    numbers.map(|number| number.file_name()).any(|number| {
        let number = number.to_string_lossy();
        fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).is_ok_and(|info| {
            let locks = info.lines().filter_map(|line| line.strip_prefix("lock:"));
            locks.filter_map(exclusive).any(|(_, inode)| inode == of.st_ino)
        }) && fs::metadata(format!("/proc/{pid}/fd/{number}"))
            .is_ok_and(|open| (open.dev(), open.ino()) == (of.st_dev, of.st_ino))
    })
}

/// Lists the processes that took an exclusive flock(2) on this inode of any file system.
fn lockers(locks: &str, inode: u64) -> Vec<i32> {
    let all = locks.lines().filter_map(exclusive);
    all.filter(|(_, locked)| *locked == inode).map(|(pid, _)| pid).collect()
}

/// Reads a line such as `5: FLOCK  ADVISORY  WRITE 12193 fe:00:5587183 0 EOF` (proc_locks(5)): process and inode.
///
/// The device is left out, since on some file systems it isn't the one that fstat(2) tells.
fn exclusive(line: &str) -> Option<(i32, u64)> {
    let mut words = line.split_whitespace().skip(1);
    let is_exclusive = [words.next()?, words.next()?, words.next()?] == ["FLOCK", "ADVISORY", "WRITE"];
    let (pid, file) = (words.next()?, words.next()?);
    let inode = file.rsplit(':').next()?.parse().ok()?;
    is_exclusive.then_some((pid.parse().ok()?, inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lockers_are_those_that_have_the_exclusive_flock() {
        let locks = "1: FLOCK  ADVISORY  WRITE 11 fe:00:77 0 EOF\n\
                     2: FLOCK  ADVISORY  READ  12 fe:00:77 0 EOF\n\
                     3: POSIX  ADVISORY  WRITE 13 fe:00:77 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 14 fe:00:77 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 15 00:1a:77 0 EOF\n\
                     5: FLOCK  ADVISORY  WRITE 16 fe:00:78 0 EOF\n\
                     6: FLOCK\n\n";
        assert_eq!(lockers(locks, 77), [11, 15]);
        assert!(lockers(locks, 79).is_empty());
    }

    #[test]
    fn who_has_a_directory_locked_is_found_and_no_init() {
        let directory = tempfile::tempdir().unwrap();
        let opened = OwnedFd::from(fs::File::open(&directory).unwrap());
        assert!(matches!(holder(&opened).unwrap(), Holder::Unseen));
        rustix::fs::flock(&opened, rustix::fs::FlockOperation::LockExclusive).unwrap();
        // This process holds it, and it isn't called `init`.
        assert!(matches!(holder(&opened).unwrap(), Holder::Command));
        let own = Pid::from_raw(std::process::id().cast_signed()).unwrap();
        assert!(has_locked(own, &fstat(&opened).unwrap()));
        rustix::fs::flock(&opened, rustix::fs::FlockOperation::Unlock).unwrap();
        assert!(!has_locked(own, &fstat(&opened).unwrap()));
    }
}
