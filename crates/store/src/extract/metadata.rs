// SPDX-License-Identifier: Apache-2.0
//! Sets the metadata of objects in the only order that keeps all of it: owner (which clears set-user-id bits and file
//! capabilities, chown(2)), mode, attributes, times.
//!
//! The functions return the metadata that the file system has kept. Invariant: the objects were made by this process in
//! a directory that no other process writes to, so a name still means the object just made.

use std::ffi::OsStr;
use std::os::fd::AsFd;

use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, chmodat, chownat, fchmod, fchown, fstat,
    futimens, utimensat,
};

use super::directories::Last;
use crate::fault::{Result, Within as _};
use crate::record;
use archive::{Metadata, Timestamp, Xattr};

/// The mode bits that an object can be created with. Other bits may be lost when the object gets its owner or is
/// written to.
pub(super) const PLAIN: u32 = 0o777;
/// The mode of a directory that was made only as a parent, and of a root that no entry names. Such a directory belongs
/// to root and has the time 1970; with these fixed values, a tree depends on its archive alone.
const IMPLIED: u32 = 0o755;

/// How objects get their modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modes {
    /// Objects are created with their modes, as this process has an umask of 0.
    AsMade,
    /// Modes are set after creation.
    Set,
}

/// Tells whether a directory's metadata is that of one which no entry names.
pub(super) fn is_implied(metadata: &Metadata) -> bool {
    *metadata == Metadata { mode: IMPLIED, ..Metadata::default() }
}

/// Sets the metadata of a new open file, or all metadata of a directory. The object belongs to root so far.
pub fn set_file(file: impl AsFd, metadata: &Metadata, modes: Modes) -> Result<Metadata> {
    set_owner(&file, metadata)?;
    if modes == Modes::Set || metadata.mode & !PLAIN != 0 {
        set_mode(&file, metadata.mode)?;
    }
    metadata.xattrs.iter().try_for_each(|xattr| set_xattr(&file, xattr))?;
    futimens(&file, &times(metadata.mtime)).within(|| "cannot set the times")?;
    record::kept(file, metadata)
}

/// Takes from a directory what an earlier entry has given it.
pub(super) fn reset_directory(directory: impl AsFd) -> Result<()> {
    for xattr in record::typed_xattrs(&directory)? {
        sys::xattrs::remove(&directory, xattr.name().as_bytes())
            .within(|| "cannot remove an attribute of an earlier entry's")?;
    }
    fchown(&directory, Some(Uid::ROOT), Some(Gid::ROOT)).within(|| "cannot set the owner")
}

/// Sets the part of a directory's metadata that need not wait.
pub(super) fn set_directory(directory: impl AsFd, metadata: &Metadata) -> Result<()> {
    set_owner(&directory, metadata)?;
    set_mode(&directory, metadata.mode)?;
    metadata.xattrs.iter().try_for_each(|xattr| set_xattr(&directory, xattr))
}

/// Sets the rest of a directory's metadata, once all objects in it exist.
pub(super) fn finish_directory(directory: impl AsFd, last: &Last) -> Result<Metadata> {
    if !last.is_named {
        set_mode(&directory, IMPLIED)?;
    }
    if last.has_set_group_id {
        let mode = fstat(&directory).within(|| "cannot look at it")?.st_mode & 0o7777;
        set_mode(&directory, mode | 0o2000)?;
    }
    last.default_acl.iter().try_for_each(|acl| set_xattr(&directory, acl))?;
    futimens(&directory, &times(last.mtime)).within(|| "cannot set the times")?;
    record::found(directory)
}

/// Sets the metadata of a FIFO or device.
pub fn set_special(parent: impl AsFd, name: &OsStr, metadata: &Metadata) -> Result<Metadata> {
    set_owner_at(&parent, name, metadata)?;
    chmodat(&parent, name, Mode::from_raw_mode(metadata.mode), AtFlags::empty())
        .within(|| "cannot set the mode")?;
    set_times_at(&parent, name, metadata)?;
    record::kept_at(parent, name, metadata)
}

/// Sets the metadata of a symbolic link, which has no mode.
pub fn set_link(parent: impl AsFd, name: &OsStr, metadata: &Metadata) -> Result<Metadata> {
    set_owner_at(&parent, name, metadata)?;
    set_times_at(&parent, name, metadata)?;
    record::kept_at(parent, name, metadata)
}

fn set_owner(object: impl AsFd, metadata: &Metadata) -> Result<()> {
    match owner(metadata) {
        Some((uid, gid)) => fchown(&object, Some(uid), Some(gid)).within(|| "cannot set the owner"),
        None => Ok(()),
    }
}

fn set_mode(object: impl AsFd, mode: u32) -> Result<()> {
    fchmod(&object, Mode::from_raw_mode(mode)).within(|| "cannot set the mode")
}

fn set_xattr(object: impl AsFd, xattr: &Xattr) -> Result<()> {
    sys::xattrs::set(&object, xattr.name().as_bytes(), xattr.value())
        .within(|| format!("cannot set the attribute {}", pod::text::escape(xattr.name())))
}

fn set_owner_at(parent: impl AsFd, name: &OsStr, metadata: &Metadata) -> Result<()> {
    match owner(metadata) {
        Some((uid, gid)) => chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .within(|| "cannot set the owner"),
        None => Ok(()),
    }
}

fn set_times_at(parent: impl AsFd, name: &OsStr, metadata: &Metadata) -> Result<()> {
    utimensat(&parent, name, &times(metadata.mtime), AtFlags::SYMLINK_NOFOLLOW)
        .within(|| "cannot set the times")
}

/// Returns the owner to set; `None` for root, which owns new objects anyway.
fn owner(metadata: &Metadata) -> Option<(Uid, Gid)> {
    ((metadata.uid, metadata.gid) != (0, 0))
        .then(|| (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid)))
}

fn times(mtime: Timestamp) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: i64::from(mtime.nanoseconds) },
    }
}
