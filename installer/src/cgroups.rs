// SPDX-License-Identifier: Apache-2.0
//! Cgroups that pods have left: where a pod's reaper was killed, its empty cgroup stays.
//!
//! They are looked for where a start would make them, below this process's own cgroup, through a mount that is attached
//! nowhere (see `stage1-init/src/cgroup.rs`). Invariant: a cgroup is removed that has a pod's name and no process, and
//! that nobody has locked: `/init` locks its pod's as soon as it is made, and its reaper has that lock until it ends.

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, unshare};
use pod::id::PodId;
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, flock, openat, unlinkat};
use rustix::io::{Errno, read};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use rustix::path::Arg;

/// What the names of all pods' cgroups begin with.
const PREFIX: &str = "gantry-";

/// Removes them.
///
/// # Errors
/// Where one can't be looked at or removed for another reason than that it is in use. Where cgroup v2 can't be reached, no
/// start has left any.
pub(crate) fn sweep() -> Result<()> {
    let Some(own) = own()? else { return Ok(()) };
    for name in children(&own)? {
        let id = name.to_str().ok().and_then(|name| name.strip_prefix(PREFIX)?.parse::<PodId>().ok());
        if id.is_some() {
            match remove(&own, &name) {
                // It is in use by now, or removed.
                Err(Errno::WOULDBLOCK | Errno::BUSY | Errno::NOENT | Errno::NODEV) => {}
                removed => removed.with_context(|| format!("cgroup {}", name.to_string_lossy()))?,
            }
        }
    }
    Ok(())
}

/// This process's cgroup.
fn own() -> Result<Option<OwnedFd>> {
    // In a namespace of its own: else the mount would set options for the whole host.
    match unshare(CloneFlags::CLONE_NEWCGROUP) {
        Err(nix::errno::Errno::EPERM) => return Ok(None),
        unshared => unshared.context("cannot make a cgroup namespace")?,
    }
    let mounted = (|| {
        let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(context.as_fd())?;
        fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
    })();
    match mounted {
        Err(Errno::PERM | Errno::NODEV | Errno::NOSYS) => Ok(None),
        mounted => Ok(Some(open_dir(&mounted.context("cannot reach cgroup v2")?, ".")?)),
    }
}

fn remove(parent: &OwnedFd, name: &CString) -> rustix::io::Result<()> {
    let cgroup = open_dir(parent, name)?;
    // First: nobody else's lock is asked for without need. Whoever comes after this look has it locked.
    if !is_empty(&cgroup)? {
        return Ok(());
    }
    flock(&cgroup, FlockOperation::NonBlockingLockExclusive)?;
    remove_below(&cgroup)?;
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// Whether nothing lives here or below (`cgroup.events`, a line for each flag).
fn is_empty(cgroup: &OwnedFd) -> rustix::io::Result<bool> {
    let events = openat(cgroup, "cgroup.events", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = [0; 256];
    let length = read(&events, &mut text)?;
    Ok(text[..length].split(|byte| *byte == b'\n').any(|line| line == b"populated 0"))
}

/// Removes all below, however deep: one descriptor is open at a time.
fn remove_below(cgroup: &OwnedFd) -> rustix::io::Result<()> {
    let mut here = open_dir(cgroup, ".")?;
    let mut names: Vec<CString> = Vec::new();
    loop {
        if let Some(name) = children(&here)?.pop() {
            here = open_dir(&here, &name)?;
            names.push(name);
        } else if let Some(name) = names.pop() {
            here = open_dir(&here, "..")?;
            unlinkat(&here, name, AtFlags::REMOVEDIR)?;
        } else {
            return Ok(());
        }
    }
}

fn open_dir(at: &OwnedFd, path: impl Arg) -> rustix::io::Result<OwnedFd> {
    openat(at, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// The directories in this one.
fn children(directory: &OwnedFd) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
