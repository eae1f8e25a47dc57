// SPDX-License-Identifier: Apache-2.0
//! Removes cgroups that pods have left behind: if a pod's reaper was killed, its empty cgroup stays.
//!
//! They are looked for where a start would make them, below this process's own cgroup, through a mount that is attached
//! nowhere (see `stage1-init/src/cgroup.rs`). Invariant: a cgroup is removed only if it has a pod's name, holds no
//! process, and is not locked by any other process. `/init` locks its pod's cgroup as soon as it has made it, and the
//! pod's reaper holds that lock until it ends.

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, unshare};
use pod::id::PodId;
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, flock, openat, unlinkat};
use rustix::io::{Errno, read};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use rustix::path::Arg;

/// The prefix of the names of all pods' cgroups.
const PREFIX: &str = "gantry-";

/// Removes the empty cgroups that pods have left.
///
/// # Errors
/// Fails if a cgroup can't be examined or removed, unless that is because it is in use. It is no error if cgroup v2
/// can't be reached: then no start has left any cgroup.
pub(crate) fn sweep() -> Result<()> {
    let Some(own) = own()? else { return Ok(()) };
    for name in children(&own)? {
        let id = name.to_str().ok().and_then(|name| name.strip_prefix(PREFIX)?.parse::<PodId>().ok());
        if id.is_some() {
            match remove(&own, &name) {
                // The cgroup is in use by now, or already removed.
                Err(Errno::WOULDBLOCK | Errno::BUSY | Errno::NOENT | Errno::NODEV) => {}
                removed => removed.with_context(|| format!("cgroup {}", name.to_string_lossy()))?,
            }
        }
    }
    Ok(())
}

/// Returns this process's cgroup; `None` if cgroup v2 can't be reached.
fn own() -> Result<Option<OwnedFd>> {
    // The mount is made in a cgroup namespace of its own. Otherwise it would set options for the whole host.
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
    // Checked before locking, so that no lock of a running pod is requested needlessly. A pod that starts in the cgroup
    // after this check holds its lock, so the locking below fails.
    if !is_empty(&cgroup)? {
        return Ok(());
    }
    flock(&cgroup, FlockOperation::NonBlockingLockExclusive)?;
    remove_below(&cgroup)?;
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// Tells whether no process lives in this cgroup or below it (`cgroup.events` has a line for each flag).
fn is_empty(cgroup: &OwnedFd) -> rustix::io::Result<bool> {
    let events = openat(cgroup, "cgroup.events", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = [0; 256];
    let length = read(&events, &mut text)?;
    Ok(text[..length].split(|byte| *byte == b'\n').any(|line| line == b"populated 0"))
}

/// Removes all cgroups below this one, however deep they are. Only one descriptor is open at a time.
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

/// Returns the names of the directories in this one.
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
