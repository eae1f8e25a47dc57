// SPDX-License-Identifier: Apache-2.0
//! The pod's own cgroup, below the caller's in the unified hierarchy (cgroup v2, kernel's admin-guide/cgroup-v2).
//!
//! The hierarchy is reached through a mount of this process's own that is attached nowhere. So it doesn't matter what
//! the host has mounted, and the host's mounts stay as they are. So do the mount options, which all mounts of the
//! hierarchy share: mounting it in the initial cgroup namespace sets them for the whole host (admin-guide/cgroup-v2,
//! "Mounting"). Therefore it is mounted in a new cgroup namespace, in which this process's cgroup is the root.
//!
//! A cgroup stays behind if its reaper was killed. It is removed by the reaper of the next start, and by `installer
//! gc`. Both remove cgroups with a pod's name that have no processes and are not locked (flock(2)). `/init` locks its
//! pod's cgroup right after making it, and its reaper keeps that lock until it ends. Users other than root can lock a
//! cgroup too, so nothing waits long for such a lock.

mod freezer;
mod processes;

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::NixPath;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use pod::id::PodId;
use rustix::fs::{FlockOperation, flock};
use rustix::mount::MountAttrFlags;

use crate::failure::namespace;
use crate::filesystem::create;
use crate::load::host::Controllers;

/// The file that lists the controllers enabled for the cgroups below.
const SUBTREE: &str = "cgroup.subtree_control";

/// The prefix of every pod's cgroup name.
const PREFIX: &str = "gantry-";
/// How often to retry a lock that a sweep holds, one `STEP` apart. A sweep takes some microseconds.
const ATTEMPTS: usize = 100;
const STEP: Duration = Duration::from_millis(1);

/// A pod's cgroup, which may or may not exist.
#[derive(Debug)]
pub(crate) struct Cgroup {
    parent: OwnedFd,
    name: String,
    /// The cgroup with its lock, once this process has made it. The lock shows that no earlier pod left it behind.
    lock: Option<OwnedFd>,
}

impl Cgroup {
    /// Names the cgroup of the pod `id`, below the cgroup of this process.
    ///
    /// Moves this process into a cgroup namespace of its own.
    pub(crate) fn below_own(id: PodId) -> Result<Self> {
        namespace(unshare(CloneFlags::CLONE_NEWCGROUP), "cgroup", "user.max_cgroup_namespaces")?;
        let parent = create("cgroup2", &[], MountAttrFlags::empty()).context("cannot reach cgroup v2")?;
        Ok(Self { parent: open_dir(parent, ".")?, name: format!("{PREFIX}{id}"), lock: None })
    }

    /// Returns the controllers that this process's cgroup could enable for the cgroups below it.
    pub(crate) fn available(&self) -> Result<Controllers> {
        self.controllers("cgroup.controllers")
    }

    /// Enables the wanted controllers for the cgroups below this process's own, and returns those enabled afterwards.
    ///
    /// A cgroup with processes in it can't enable any, unless it is the root (admin-guide/cgroup-v2, "No Internal
    /// Process Constraint").
    pub(crate) fn delegate(&self, wanted: Controllers) -> Result<Controllers> {
        for (wanted, name) in [(wanted.cpu, "+cpu"), (wanted.memory, "+memory")] {
            if wanted {
                // A failure shows in the controllers that are read below.
                let _ = write(&self.parent, SUBTREE, name);
            }
        }
        self.controllers(SUBTREE)
    }

    fn controllers(&self, file: &str) -> Result<Controllers> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let mut names = String::new();
        let opened = openat(&self.parent, file, flags, Mode::empty());
        opened
            .map_err(io::Error::from)
            .and_then(|file| File::from(file).read_to_string(&mut names))
            .with_context(|| format!("cannot read {file}"))?;
        let has = |name| names.split_whitespace().any(|found| found == name);
        Ok(Controllers { cpu: has("cpu"), memory: has("memory") })
    }

    /// Makes and locks the cgroup, and sets its limits (file and value).
    ///
    /// An earlier cgroup of the same name is removed first.
    pub(crate) fn make(&mut self, limits: &[(&str, String)]) -> Result<()> {
        self.remove().with_context(|| format!("cannot remove the old cgroup {}", self.name))?;
        let cgroup = loop {
            match mkdirat(&self.parent, self.name.as_str(), Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error).with_context(|| format!("cannot make cgroup {}", self.name)),
            }
            // A sweep may remove it again before it is locked.
            if let Some(cgroup) = lock(&self.parent, &self.name).context("cannot lock the pod's cgroup")? {
                break cgroup;
            }
        };
        let limited = limits.iter().try_for_each(|(file, value)| {
            write(&cgroup, file, value).with_context(|| format!("cannot set {file} of the pod to {value}"))
        });
        self.lock = Some(cgroup);
        if limited.is_err() {
            let _ = self.remove();
        }
        limited
    }

    /// Moves this process into the cgroup.
    pub(crate) fn enter(&self) -> Result<()> {
        let entered = open_dir(&self.parent, &*self.name)
            .map_err(Into::into)
            .and_then(|own| write(&own, "cgroup.procs", "0"));
        entered.with_context(|| format!("cannot enter cgroup {}", self.name))
    }

    /// Ends every process in the cgroup, waits for that, and removes it and all cgroups below it.
    pub(crate) fn remove(&self) -> Result<()> {
        let removed = self.end_and_remove();
        // A sweep may have removed it first.
        if open_dir(&self.parent, &*self.name).err() == Some(Errno::ENOENT) { Ok(()) } else { removed }
    }

    fn end_and_remove(&self) -> Result<()> {
        let cgroup = match open_dir(&self.parent, &*self.name) {
            Ok(cgroup) => cgroup,
            Err(Errno::ENOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        write(&cgroup, "cgroup.kill", "1").context("cgroup.kill")?;
        wait_empty(&cgroup)?;
        remove_below(&cgroup)?;
        Ok(unlinkat(&self.parent, self.name.as_str(), UnlinkatFlags::RemoveDir)?)
    }

    /// Removes the cgroups that other pods have left beside this one.
    pub(crate) fn sweep(&self) -> Result<()> {
        for entry in Dir::from_fd(open_dir(&self.parent, ".")?)?.iter() {
            let entry = entry?;
            let name = entry.file_name().to_str().unwrap_or_default();
            if name != self.name && is_pods(name) {
                // By now it may be in use or removed.
                let _ = self.remove_left(name);
            }
        }
        Ok(())
    }

    fn remove_left(&self, name: &str) -> Result<()> {
        let cgroup = open_dir(&self.parent, name)?;
        if !is_empty(&cgroup)? {
            return Ok(());
        }
        // If a pod has started to use it after that check, the pod has it locked, and this fails.
        flock(&cgroup, FlockOperation::NonBlockingLockExclusive)?;
        remove_below(&cgroup)?;
        Ok(unlinkat(&self.parent, name, UnlinkatFlags::RemoveDir)?)
    }

    /// Lists the descriptors that must stay open for [`Cgroup::remove`], for [`Cgroup::sweep`] and for the lock.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        [&self.parent].into_iter().chain(&self.lock)
    }
}

fn is_pods(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|id| id.parse::<PodId>().is_ok())
}

/// Opens and locks a cgroup; returns `None` if it has been removed.
///
/// If another process keeps an exclusive lock, the cgroup is returned without a lock of its own. No sweep can lock it
/// then either.
fn lock(parent: &OwnedFd, name: &str) -> Result<Option<OwnedFd>> {
    let open = || match open_dir(parent, name) {
        Err(Errno::ENOENT) => Ok(None),
        opened => opened.map(Some),
    };
    let Some(cgroup) = open()? else { return Ok(None) };
    for _ in 0..ATTEMPTS {
        match flock(&cgroup, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => sleep(STEP),
            locked => {
                locked?;
                break;
            }
        }
    }
    let Some(again) = open()? else { return Ok(None) };
    Ok((fstat(&again)?.st_ino == fstat(&cgroup)?.st_ino).then_some(cgroup))
}

fn open_dir<P: NixPath + ?Sized>(at: impl AsFd, path: &P) -> nix::Result<OwnedFd> {
    openat(at, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

fn write(cgroup: &OwnedFd, file: &str, value: &str) -> io::Result<()> {
    File::from(openat(cgroup, file, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?)
        .write_all(value.as_bytes())
}

/// Opens `cgroup.events`, and tells whether this cgroup and those below have no processes.
fn events(cgroup: &OwnedFd) -> Result<(File, bool)> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let mut events = File::from(openat(cgroup, "cgroup.events", flags, Mode::empty())?);
    let mut text = String::new();
    events.read_to_string(&mut text)?;
    let empty = text.lines().any(|line| line == "populated 0");
    Ok((events, empty))
}

fn is_empty(cgroup: &OwnedFd) -> Result<bool> {
    Ok(events(cgroup)?.1)
}

/// Waits until this cgroup and those below have no processes.
///
/// The kernel wakes a poller of `cgroup.events` when that changes.
fn wait_empty(cgroup: &OwnedFd) -> Result<()> {
    loop {
        let (events, empty) = events(cgroup)?;
        if empty {
            return Ok(());
        }
        match poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes all cgroups below this one.
///
/// An app may have made cgroups in its own, with any names and at any depth. So only one descriptor is open at a time,
/// and no path grows with the depth.
fn remove_below(cgroup: &OwnedFd) -> Result<()> {
    let mut here = open_dir(cgroup, ".")?;
    let mut names: Vec<CString> = Vec::new();
    loop {
        if let Some(name) = child(&here)? {
            here = open_dir(&here, &*name)?;
            names.push(name);
        } else if let Some(name) = names.pop() {
            here = open_dir(&here, "..")?;
            unlinkat(&here, &*name, UnlinkatFlags::RemoveDir)?;
        } else {
            return Ok(());
        }
    }
}

/// Finds a directory in this one, if there is any.
fn child(directory: &OwnedFd) -> Result<Option<CString>> {
    for entry in Dir::from_fd(open_dir(directory, ".")?)?.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() == Some(Type::Directory) && name != c"." && name != c".." {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs::create_dir;
    use std::os::unix::ffi::OsStrExt;

    use nix::fcntl::AT_FDCWD;

    use super::*;

    #[test]
    fn all_below_is_removed_whatever_it_is_called() {
        let top = tempfile::tempdir().unwrap();
        for name in [b"\xff", b"a", b"\n"] {
            create_dir(top.path().join(OsStr::from_bytes(name))).unwrap();
        }
        // More levels than descriptors can be open, and deeper than a path can reach.
        let mut here = open_dir(AT_FDCWD, top.path()).unwrap();
        let name = "n".repeat(250);
        for _ in 0..1100 {
            mkdirat(&here, &*name, Mode::S_IRWXU).unwrap();
            here = open_dir(&here, &*name).unwrap();
        }
        remove_below(&open_dir(AT_FDCWD, top.path()).unwrap()).unwrap();
        assert_eq!(std::fs::read_dir(&top).unwrap().count(), 0);
    }
}
