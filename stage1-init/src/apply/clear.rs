// SPDX-License-Identifier: Apache-2.0
//! Removes what an earlier start left in the pod directory. It works relative to descriptors and follows no link.
//!
//! Invariant: nothing that is mounted is removed. A first pass looks for mounts and changes nothing. A mount made
//! after that pass stops the second pass where it is (openat2(2), `RESOLVE_NO_XDEV`, which applies to bind mounts too;
//! unlink(2), EBUSY).

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use anyhow::{Result, bail, ensure};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, StatxAttributes, StatxFlags, openat, statx, unlinkat,
};
use rustix::io::Errno;
use sys::{CalledOn as _, Error, open_on_mount};

/// What a pass does with each entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// Checks that nothing is mounted on it.
    Look,
    /// Removes it.
    Remove,
}

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
    pass(directory, Pass::Remove)
}

/// Fails if there is a mount on the way from `root` to a non-empty directory, or below it.
pub(crate) fn check(root: impl AsFd, directory: &OwnedFd) -> Result<()> {
    if names(directory)?.is_empty() {
        return Ok(());
    }
    check_same_mount(root, directory)?;
    pass(directory, Pass::Look)
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

fn names(directory: &OwnedFd) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
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
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        match open_on_mount(directory, OsStr::from_bytes(name.to_bytes()), flags) {
            Err(error) if error.errno == Errno::XDEV => bail!(mounted(name)),
            below => pass(&below?, what)?,
        }
        if what == Pass::Remove {
            unlinkat(directory, name, AtFlags::REMOVEDIR)?;
        }
    }
    Ok(())
}

/// Tells whether an entry is a directory.
///
/// Depending on the pass, an entry that is none is removed, or the entry is checked for a mount.
fn is_directory(directory: &OwnedFd, name: &CStr, pass: Pass) -> Result<bool> {
    if pass == Pass::Remove {
        return match unlinkat(directory, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => Ok(true),
            Err(Errno::BUSY) => bail!(mounted(name)),
            removed => Ok(removed.map(|()| false)?),
        };
    }
    let found = statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE)?;
    ensure!(!found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT), mounted(name));
    Ok(FileType::from_raw_mode(found.stx_mode.into()) == FileType::Directory)
}

fn mounted(name: &CStr) -> String {
    let name = pod::text::escape_bytes(name.to_bytes());
    format!("{name} is a mount point: expected none in what is to be removed")
}
