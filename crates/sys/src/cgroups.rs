// SPDX-License-Identifier: Apache-2.0
//! Cgroups of the unified hierarchy (the kernel's admin-guide/cgroup-v2), as open directories.
//!
//! The hierarchy is reached through a mount of this process's own that is attached nowhere. So it doesn't matter what
//! the host has mounted, and the host's mounts stay as they are. So do the mount options, which all mounts of the
//! hierarchy share: mounting it in the initial cgroup namespace sets them for the whole host (admin-guide/cgroup-v2,
//! "Mounting"). Therefore it is mounted in a new cgroup namespace, in which this process's cgroup is the root.

mod walk;

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

// rustix has no safe unshare.
use nix::sched::{CloneFlags, unshare};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::process::Pid;

use crate::error::{CalledOn as _, Error};
use crate::mounts::create;
use walk::{children, open, remove_below};

const EVENTS: &str = "cgroup.events";
const FREEZE: &str = "cgroup.freeze";
/// How deep cgroups are searched for processes. systemd has its own three below a pod's, and services one below that. A
/// program can nest more in its own, to any depth.
const DEPTH: usize = 16;

/// A cgroup.
#[derive(Debug)]
pub struct Cgroup(OwnedFd);

/// A cgroup that could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("cgroup {name}")]
pub struct Unremoved {
    /// The cgroup's name.
    pub name: String,
    /// The reason.
    #[source]
    pub error: Error,
}

impl Unremoved {
    /// Tells whether the cgroup is in use by now, or already removed.
    fn is_no_matter(&self) -> bool {
        matches!(self.error.errno, Errno::WOULDBLOCK | Errno::BUSY | Errno::NOENT | Errno::NODEV)
    }
}

/// Moves this process into a cgroup namespace of its own, in which its cgroup is the root.
///
/// # Errors
/// Returns the system's error.
pub fn isolate() -> Result<(), Errno> {
    unshare(CloneFlags::CLONE_NEWCGROUP).map_err(|error| Errno::from_raw_os_error(error as i32))
}

impl Cgroup {
    /// Opens this process's own cgroup; see [`isolate`].
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn of_this_process() -> Result<Self, Error> {
        let root = create("cgroup2", &[], MountAttrFlags::empty())?;
        open(&root, ".").map(Self).called_on("openat", "cgroup2")
    }

    /// Opens the cgroup `name` in this one; `None` if there is none.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn child(&self, name: &str) -> Result<Option<Self>, Error> {
        match open(&self.0, name) {
            Err(Errno::NOENT) => Ok(None),
            opened => opened.map(|child| Some(Self(child))).called_on("openat", name),
        }
    }

    /// Makes the cgroup `name` in this one, unless there is one.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn make(&self, name: &str) -> Result<(), Error> {
        match mkdirat(&self.0, name, Mode::from_raw_mode(0o755)) {
            Err(Errno::EXIST) => Ok(()),
            made => made.called_on("mkdirat", name),
        }
    }

    /// Reads one of the cgroup's files.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn read(&self, file: &str) -> io::Result<String> {
        read(&mut self.open_file(file, OFlags::RDONLY)?)
    }

    /// Writes to one of the cgroup's files.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn write(&self, file: &str, value: &str) -> io::Result<()> {
        self.open_file(file, OFlags::WRONLY)?.write_all(value.as_bytes())
    }

    fn open_file(&self, file: &str, flags: OFlags) -> io::Result<File> {
        Ok(openat(&self.0, file, flags | OFlags::CLOEXEC, Mode::empty())?.into())
    }

    /// Tells whether no process is in this cgroup or below it.
    ///
    /// # Errors
    /// Returns the system's error.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(has(&self.read(EVENTS)?, "populated 0"))
    }

    /// Ends every process in this cgroup and below it, and waits for that.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn end_all(&self) -> io::Result<()> {
        self.write("cgroup.kill", "1")?;
        loop {
            // The kernel wakes a poller of the file when its content changes, also if that was before the poll.
            let mut events = self.open_file(EVENTS, OFlags::RDONLY)?;
            if has(&read(&mut events)?, "populated 0") {
                return Ok(());
            }
            match poll(&mut [PollFd::new(&events, PollFlags::PRI)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Freezes all processes, which interrupts what they wait in, such as a read; SIGKILL still ends them. Waits no
    /// longer than `patience` until all are frozen.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn freeze(&self, patience: Duration) -> io::Result<()> {
        self.write(FREEZE, "1")?;
        let until = Instant::now() + patience;
        loop {
            let mut events = self.open_file(EVENTS, OFlags::RDONLY)?;
            let left = until.saturating_duration_since(Instant::now());
            if has(&read(&mut events)?, "frozen 1") || left.is_zero() {
                return Ok(());
            }
            // Whatever ended the wait, the file is read again to learn the state.
            let _ = poll(&mut [PollFd::new(&events, PollFlags::PRI)], Timespec::try_from(left).ok().as_ref());
        }
    }

    /// Lets the processes continue.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn thaw(&self) -> io::Result<()> {
        self.write(FREEZE, "0")
    }

    /// Lists the processes of this cgroup and of those below it, by their ids in this process's namespace. Any of them
    /// may have ended by then.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn processes(&self) -> io::Result<Vec<Pid>> {
        let mut found = Vec::new();
        self.list(DEPTH, &mut found)?;
        Ok(found)
    }

    /// Lists the processes of this cgroup alone.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn own_processes(&self) -> io::Result<Vec<Pid>> {
        let listed = self.read("cgroup.procs")?;
        Ok(listed.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect())
    }

    fn list(&self, depth: usize, found: &mut Vec<Pid>) -> io::Result<()> {
        // A cgroup of threads (admin-guide/cgroup-v2, "Threads") has no list; its processes are in the one above.
        found.extend(self.own_processes().unwrap_or_default());
        for name in children(&self.0)?.iter().take(if depth == 0 { 0 } else { usize::MAX }) {
            // It may be gone by now.
            if let Ok(below) = open(&self.0, name) {
                let _ = Self(below).list(depth - 1, found);
            }
        }
        Ok(())
    }

    /// Removes the cgroup `name` in this one, and all below it. None of them may have processes.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let remove = || {
            remove_below(open(&self.0, name)?)?;
            unlinkat(&self.0, name, AtFlags::REMOVEDIR)
        };
        remove().called_on("unlinkat", name)
    }

    /// Removes the cgroups in this one that `is_left` names, that have no processes, and that no other process has
    /// locked. Goes on if one can't be removed.
    ///
    /// # Errors
    /// Returns the first cgroup that could not be removed, unless that is no matter.
    pub fn sweep(&self, is_left: impl Fn(&str) -> bool) -> Result<(), Unremoved> {
        let unlisted = |error| Unremoved { name: ".".into(), error };
        let names = children(&self.0).called_on("getdents64", ".").map_err(unlisted)?;
        let mut first = Ok(());
        for name in names.iter().filter_map(|name| name.to_str().ok()).filter(|name| is_left(name)) {
            match self.remove_left(name) {
                Err(error) if !error.is_no_matter() => first = first.and(Err(error)),
                _ => {}
            }
        }
        first
    }

    fn remove_left(&self, name: &str) -> Result<(), Unremoved> {
        let failed = |error| Unremoved { name: name.into(), error };
        let Some(cgroup) = self.child(name).map_err(failed)? else { return Ok(()) };
        // Checked before locking, so that no lock of a running pod is requested needlessly. A pod that starts in the
        // cgroup after this check holds its lock, so the locking below fails.
        let is_empty = cgroup.is_empty().map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            failed(Error::new("read", EVENTS.as_ref(), errno))
        })?;
        if !is_empty {
            return Ok(());
        }
        flock(&cgroup, FlockOperation::NonBlockingLockExclusive).called_on("flock", name).map_err(failed)?;
        self.remove(name).map_err(failed)
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn read(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Tells whether a file of flags, a line each, has this one.
fn has(text: &str, flag: &str) -> bool {
    text.lines().any(|line| line == flag)
}
