// SPDX-License-Identifier: Apache-2.0
//! Metadata onto objects, in the one order that keeps all of it: owner (which clears set-user-id bits and file
//! capabilities, chown(2)), mode, attributes, times.
//!
//! What is returned is what the file system has kept. Invariant: the objects were made by this process in a directory
//! nobody else writes to, so a name still means what was just made.

use std::ffi::OsStr;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmodat, chownat, fchmod, fchown,
    fsetxattr, fstat, futimens, utimensat,
};

use super::directories::Last;
use crate::record;
use archive::{Metadata, Timestamp, Xattr};

/// The bits of a mode that an object can be made with. Others may be lost again when it gets its owner or is written.
pub(super) const PLAIN: u32 = 0o777;
/// The mode of a directory that only came into being as a parent, and of a root that no entry names. Together with its
/// owner, root, and its time, 1970, it makes a tree a function of its archive.
const IMPLIED: u32 = 0o755;

/// How modes come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modes {
    /// Objects are made with theirs: this process has no umask.
    AsMade,
    /// They are set.
    Set,
}

/// Sets a new open file's metadata, or all of a directory's. It is root's so far.
pub fn set_file(file: impl AsFd, metadata: &Metadata, modes: Modes) -> Result<Metadata> {
    set_owner(&file, metadata)?;
    if modes == Modes::Set || metadata.mode & !PLAIN != 0 {
        set_mode(&file, metadata.mode)?;
    }
    metadata.xattrs.iter().try_for_each(|xattr| set_xattr(&file, xattr))?;
    futimens(&file, &times(metadata.mtime)).context("cannot set the times")?;
    record::kept(file, metadata)
}

/// Sets what of a directory's metadata need not wait.
pub(super) fn set_directory(directory: impl AsFd, metadata: &Metadata) -> Result<()> {
    set_owner(&directory, metadata)?;
    set_mode(&directory, metadata.mode)?;
    metadata.xattrs.iter().try_for_each(|xattr| set_xattr(&directory, xattr))
}

/// Sets what is left.
pub(super) fn finish_directory(directory: impl AsFd, last: &Last) -> Result<Metadata> {
    if !last.is_named {
        set_mode(&directory, IMPLIED)?;
    }
    if last.has_set_group_id {
        let mode = fstat(&directory).context("cannot look at it")?.st_mode & 0o7777;
        set_mode(&directory, mode | 0o2000)?;
    }
    last.default_acl.iter().try_for_each(|acl| set_xattr(&directory, acl))?;
    futimens(&directory, &times(last.mtime)).context("cannot set the times")?;
    record::found(directory)
}

/// Sets the metadata of a FIFO or device.
pub fn set_special(parent: impl AsFd, name: &OsStr, metadata: &Metadata) -> Result<Metadata> {
    set_owner_at(&parent, name, metadata)?;
    chmodat(&parent, name, Mode::from_raw_mode(metadata.mode), AtFlags::empty())
        .context("cannot set the mode")?;
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
        Some((uid, gid)) => fchown(&object, Some(uid), Some(gid)).context("cannot set the owner"),
        None => Ok(()),
    }
}

fn set_mode(object: impl AsFd, mode: u32) -> Result<()> {
    fchmod(&object, Mode::from_raw_mode(mode)).context("cannot set the mode")
}

fn set_xattr(object: impl AsFd, xattr: &Xattr) -> Result<()> {
    fsetxattr(&object, xattr.name(), xattr.value(), XattrFlags::empty())
        .with_context(|| format!("cannot set the attribute {}", pod::text::escape(xattr.name())))
}

fn set_owner_at(parent: impl AsFd, name: &OsStr, metadata: &Metadata) -> Result<()> {
    match owner(metadata) {
        Some((uid, gid)) => chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .context("cannot set the owner"),
        None => Ok(()),
    }
}

fn set_times_at(parent: impl AsFd, name: &OsStr, metadata: &Metadata) -> Result<()> {
    utimensat(&parent, name, &times(metadata.mtime), AtFlags::SYMLINK_NOFOLLOW)
        .context("cannot set the times")
}

/// The owner, unless it is root's anyway.
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
