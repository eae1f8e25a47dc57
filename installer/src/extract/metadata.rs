// SPDX-License-Identifier: Apache-2.0
//! Metadata onto objects, in the one order that keeps all of it: owner (which clears set-user-id bits and file
//! capabilities, chown(2)), mode, attributes, times.
//!
//! What each function returns is what the file system has kept. Nothing depends on the umask. Invariant: the objects were made by this process in a directory nobody else
//! writes to, so a name still means what was just made.

use std::ffi::OsStr;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmodat, chownat, fchmod, fchown,
    fsetxattr, futimens, utimensat,
};

use crate::archive::Metadata;
use crate::record;

/// Sets an open file's or directory's metadata. It is root's so far.
pub(crate) fn set(object: impl AsFd, metadata: &Metadata) -> Result<Metadata> {
    if let Some((uid, gid)) = owner(metadata) {
        fchown(&object, Some(uid), Some(gid)).context("cannot set the owner")?;
    }
    fchmod(&object, Mode::from_raw_mode(metadata.mode)).context("cannot set the mode")?;
    for xattr in &metadata.xattrs {
        fsetxattr(&object, xattr.name(), xattr.value(), XattrFlags::empty())
            .with_context(|| format!("cannot set the attribute {}", pod::text::escape(xattr.name())))?;
    }
    futimens(&object, &times(metadata)).context("cannot set the times")?;
    record::kept(object, metadata)
}

/// Sets the metadata of a FIFO or device.
pub(crate) fn set_special(parent: impl AsFd, name: &OsStr, metadata: &Metadata) -> Result<Metadata> {
    set_owner_at(&parent, name, metadata)?;
    chmodat(&parent, name, Mode::from_raw_mode(metadata.mode), AtFlags::empty())
        .context("cannot set the mode")?;
    set_times_at(&parent, name, metadata)?;
    record::kept_at(parent, name, metadata)
}

/// Sets the metadata of a symbolic link, which has no mode.
pub(crate) fn set_link(parent: impl AsFd, name: &OsStr, metadata: &Metadata) -> Result<Metadata> {
    set_owner_at(&parent, name, metadata)?;
    set_times_at(&parent, name, metadata)?;
    record::kept_at(parent, name, metadata)
}

fn set_owner_at(parent: impl AsFd, name: &OsStr, metadata: &Metadata) -> Result<()> {
    match owner(metadata) {
        Some((uid, gid)) => chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .context("cannot set the owner"),
        None => Ok(()),
    }
}

fn set_times_at(parent: impl AsFd, name: &OsStr, metadata: &Metadata) -> Result<()> {
    utimensat(&parent, name, &times(metadata), AtFlags::SYMLINK_NOFOLLOW).context("cannot set the times")
}

/// The owner, unless it is root's anyway.
fn owner(metadata: &Metadata) -> Option<(Uid, Gid)> {
    ((metadata.uid, metadata.gid) != (0, 0))
        .then(|| (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid)))
}

fn times(metadata: &Metadata) -> Timestamps {
    let mtime = metadata.mtime;
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: i64::from(mtime.nanoseconds) },
    }
}
