// SPDX-License-Identifier: Apache-2.0
//! Removing what an earlier start left in the pod directory, relative to descriptors: no link is followed.
//!
//! Invariant: nothing that is mounted is removed. A first pass looks for mounts and changes nothing; what is mounted
//! once it has passed ends the second there (openat2(2), `RESOLVE_NO_XDEV`, which means bind mounts too; unlink(2),
//! EBUSY).

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Result, bail, ensure};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};
use rustix::fs::{AtFlags, FileType, StatxAttributes, StatxFlags, statx};

/// What is done with what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// Whether something is mounted on it is looked at.
    Look,
    /// It is removed.
    Remove,
}

/// A descriptor to work with, from one that only names a directory.
pub(crate) fn readable(directory: impl AsFd) -> nix::Result<OwnedFd> {
    openat(directory, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// Removes what is in a directory that was reached from `root`; nothing of it where a mount is on the way or below.
pub(crate) fn clear(root: impl AsFd, directory: &OwnedFd) -> Result<()> {
    check(root, directory)?;
    pass(directory, Pass::Remove)
}

/// Looks whether a mount is in the way of that.
pub(crate) fn check(root: impl AsFd, directory: &OwnedFd) -> Result<()> {
    if names(directory)?.is_empty() {
        return Ok(());
    }
    check_same_mount(root, directory)?;
    pass(directory, Pass::Look)
}

/// Whether a directory is reached from `root` without crossing a mount.
pub(crate) fn check_same_mount(root: impl AsFd, directory: impl AsFd) -> Result<()> {
    let mount = |directory: &dyn AsFd| {
        Ok::<_, rustix::io::Errno>(statx(directory, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id)
    };
    let is_same = mount(&root)? == mount(&directory)?;
    ensure!(is_same, "it is a mount point, or below one: expected none in the pod directory");
    Ok(())
}

fn names(directory: &OwnedFd) -> nix::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::from_fd(readable(directory)?)?.iter() {
        let name = entry?.file_name().to_owned();
        if name.as_c_str() != c"." && name.as_c_str() != c".." {
            names.push(name);
        }
    }
    Ok(names)
}

fn pass(directory: &OwnedFd, what: Pass) -> Result<()> {
    for name in &names(directory)? {
        if !is_directory(directory, name, what)? {
            continue;
        }
        match open(directory, name) {
            Err(Errno::EXDEV) => bail!(mounted(name)),
            below => pass(&below?, what)?,
        }
        if what == Pass::Remove {
            unlinkat(directory, name.as_c_str(), UnlinkatFlags::RemoveDir)?;
        }
    }
    Ok(())
}

/// Removes what is no directory, or looks at it; whether it is one.
fn is_directory(directory: &OwnedFd, name: &CStr, pass: Pass) -> Result<bool> {
    if pass == Pass::Remove {
        return match unlinkat(directory, name, UnlinkatFlags::NoRemoveDir) {
            Err(Errno::EISDIR) => Ok(true),
            Err(Errno::EBUSY) => bail!(mounted(name)),
            removed => Ok(removed.map(|()| false)?),
        };
    }
    let found = statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE)?;
    ensure!(!found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT), mounted(name));
    Ok(FileType::from_raw_mode(found.stx_mode.into()) == FileType::Directory)
}

/// Opens a directory that is on the same mount as `parent`.
fn open(parent: &OwnedFd, name: &CStr) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(parent, name, how)
}

fn mounted(name: &CStr) -> String {
    let name = pod::text::escape_bytes(name.to_bytes());
    format!("{name} is a mount point: expected none in what is to be removed")
}
