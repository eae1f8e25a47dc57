// SPDX-License-Identifier: Apache-2.0
//! Removes what an earlier start left in the pod directory. It works relative to descriptors and follows no link.
//!
//! Invariant: nothing that is mounted is removed (`sys::remove`), and nothing beyond a mount on the way to it.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Result, ensure};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, StatxFlags, openat, statx};
use sys::{CalledOn as _, Error, remove};

/// Opens a directory for reading, from a descriptor that may only name it (`O_PATH`).
pub(crate) fn readable(directory: impl AsFd) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(directory, ".", flags, Mode::empty()).called_on("openat", ".")
}

/// Removes the content of a directory that was reached from `root`.
///
/// Removes nothing if there is a mount on the way to the directory or below it.
pub(crate) fn clear(root: impl AsFd, directory: &OwnedFd) -> Result<()> {
    check(root, directory)?;
    Ok(remove::remove_content(directory)?)
}

/// Fails if there is a mount on the way from `root` to a non-empty directory, or below it.
pub(crate) fn check(root: impl AsFd, directory: &OwnedFd) -> Result<()> {
    if is_empty(directory)? {
        return Ok(());
    }
    check_same_mount(root, directory)?;
    Ok(remove::check_content(directory)?)
}

/// Fails if a mount was crossed on the way from `root` to a directory.
pub(crate) fn check_same_mount(root: impl AsFd, directory: impl AsFd) -> Result<()> {
    let mount = |directory: &dyn AsFd| {
        Ok::<_, rustix::io::Errno>(statx(directory, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id)
    };
    let is_same = mount(&root)? == mount(&directory)?;
    ensure!(is_same, "it is a mount point, or below one: expected none in the pod directory");
    Ok(())
}

fn is_empty(directory: &OwnedFd) -> rustix::io::Result<bool> {
    for entry in Dir::read_from(directory)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}
