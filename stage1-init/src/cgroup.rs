// SPDX-License-Identifier: Apache-2.0
//! The pod's own cgroup: below the caller's, in the unified hierarchy (cgroup v2, kernel's admin-guide/cgroup-v2).
//!
//! The hierarchy is reached through a mount of our own that is attached nowhere, so it does not matter what the host
//! has mounted, and nothing of the host's mounts is touched. Neither are the options they have in common: to mount the
//! hierarchy in the initial cgroup namespace sets them for the whole host (admin-guide/cgroup-v2, "Mounting"), so that
//! is done in a namespace of our own, in which this process's cgroup is the root.

mod freezer;
mod processes;

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use nix::NixPath;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use pod::id::PodId;
use rustix::mount::MountAttrFlags;

use crate::filesystem::create;
use crate::host::Controllers;

/// The controllers that cgroups below have.
const SUBTREE: &str = "cgroup.subtree_control";

/// A pod's cgroup, which may or may not be there.
#[derive(Debug)]
pub(crate) struct Cgroup {
    parent: OwnedFd,
    name: String,
}

impl Cgroup {
    /// The cgroup of the pod `id` below that of this process, which is in a cgroup namespace of its own afterwards.
    pub(crate) fn below_own(id: PodId) -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWCGROUP).context("cannot make a cgroup namespace")?;
        let parent = create("cgroup2", &[], MountAttrFlags::empty()).context("cannot reach cgroup v2")?;
        Ok(Self { parent: open_dir(parent, ".")?, name: format!("gantry-{id}") })
    }

    /// The controllers that this process's cgroup could give to those below.
    pub(crate) fn available(&self) -> Result<Controllers> {
        self.controllers("cgroup.controllers")
    }

    /// Gives the wanted controllers to the cgroups below this process's own; those that are there afterwards. A cgroup
    /// with processes in it can't, unless it is the root (admin-guide/cgroup-v2, "No Internal Process Constraint").
    pub(crate) fn delegate(&self, wanted: Controllers) -> Result<Controllers> {
        for (wanted, name) in [(wanted.cpu, "+cpu"), (wanted.memory, "+memory")] {
            if wanted {
                // What became of it is read below.
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

    /// Makes the cgroup, an earlier one of the same name gone, and sets what it is limited to (file and value).
    pub(crate) fn make(&self, limits: &[(&str, String)]) -> Result<()> {
        self.remove().with_context(|| format!("cannot remove the old cgroup {}", self.name))?;
        mkdirat(&self.parent, self.name.as_str(), Mode::from_bits_truncate(0o755))
            .with_context(|| format!("cannot make cgroup {}", self.name))?;
        let cgroup = open_dir(&self.parent, &*self.name)?;
        for (file, value) in limits {
            write(&cgroup, file, value)
                .with_context(|| format!("cannot set {file} of the pod to {value}"))?;
        }
        Ok(())
    }

    /// Moves this process into it.
    pub(crate) fn enter(&self) -> Result<()> {
        let entered = open_dir(&self.parent, &*self.name)
            .map_err(Into::into)
            .and_then(|own| write(&own, "cgroup.procs", "0"));
        entered.with_context(|| format!("cannot enter cgroup {}", self.name))
    }

    /// Ends every process in it, waits for that, and removes it and all below it.
    pub(crate) fn remove(&self) -> Result<()> {
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

    /// The descriptor that has to stay open for [`Cgroup::remove`].
    pub(crate) fn descriptor(&self) -> impl AsFd + '_ {
        &self.parent
    }
}

fn open_dir<P: NixPath + ?Sized>(at: impl AsFd, path: &P) -> nix::Result<OwnedFd> {
    openat(at, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

fn write(cgroup: &OwnedFd, file: &str, value: &str) -> io::Result<()> {
    File::from(openat(cgroup, file, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?)
        .write_all(value.as_bytes())
}

/// Waits until `cgroup.events` says that nothing lives here or below; the kernel wakes a poller when that changes.
fn wait_empty(cgroup: &OwnedFd) -> Result<()> {
    loop {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let mut events = File::from(openat(cgroup, "cgroup.events", flags, Mode::empty())?);
        let mut text = String::new();
        events.read_to_string(&mut text)?;
        if text.lines().any(|line| line == "populated 0") {
            return Ok(());
        }
        match poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes all below. An app may have made cgroups in its own, of any name and as deep as it liked: one descriptor is
/// open at a time, and no path grows.
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

/// A directory in this one.
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
        // More than descriptors can be open, and deeper than a path can lead.
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
