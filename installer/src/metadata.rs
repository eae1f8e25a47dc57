// SPDX-License-Identifier: Apache-2.0
//! Gives an extracted file its owner, mode, extended attributes and times, in this order: chown(2) clears set-id bits
//! and file capabilities, and everything before utimensat(2) changes times.

use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result};
use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmod, fchmodat, futimens, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{FchownatFlags, Gid, Uid, fchown, fchownat};
use rustix::fs::{XattrFlags, fsetxattr};

use crate::archive::entry::Metadata;

/// What a process of root's makes is root's.
fn owned_by_root(metadata: &Metadata) -> bool {
    (metadata.uid, metadata.gid) == (0, 0)
}

fn mode(metadata: &Metadata) -> Mode {
    Mode::from_bits_truncate(metadata.mode)
}

fn time(metadata: &Metadata) -> TimeSpec {
    TimeSpec::new(metadata.mtime.0, i64::from(metadata.mtime.1))
}

fn owner(metadata: &Metadata) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(metadata.uid)), Some(Gid::from_raw(metadata.gid)))
}

/// For an open file or directory.
pub(crate) fn set(file: impl AsFd, metadata: &Metadata) -> Result<()> {
    if !owned_by_root(metadata) {
        let (uid, gid) = owner(metadata);
        fchown(&file, uid, gid).context("cannot set its owner")?;
    }
    fchmod(&file, mode(metadata)).context("cannot set its mode")?;
    for (name, value) in &metadata.xattrs {
        fsetxattr(&file, name.as_os_str(), value, XattrFlags::empty())
            .with_context(|| format!("cannot set its extended attribute {}", name.display()))?;
    }
    futimens(&file, &time(metadata), &time(metadata)).context("cannot set its times")
}

/// For a link, which has no mode.
pub(crate) fn set_link(parent: impl AsFd, name: &Path, metadata: &Metadata) -> Result<()> {
    set_owner(&parent, name, metadata)?;
    set_times(parent, name, metadata)
}

/// For a device or FIFO just made here, which is no link and is not opened, because that may act or wait.
pub(crate) fn set_special(parent: impl AsFd, name: &Path, metadata: &Metadata) -> Result<()> {
    set_owner(&parent, name, metadata)?;
    fchmodat(&parent, name, mode(metadata), FchmodatFlags::FollowSymlink).context("cannot set its mode")?;
    set_times(parent, name, metadata)
}

fn set_owner(parent: impl AsFd, name: &Path, metadata: &Metadata) -> Result<()> {
    if owned_by_root(metadata) {
        return Ok(());
    }
    let (uid, gid) = owner(metadata);
    let flags: FchownatFlags = AtFlags::AT_SYMLINK_NOFOLLOW;
    fchownat(parent, name, uid, gid, flags).context("cannot set its owner")
}

fn set_times(parent: impl AsFd, name: &Path, metadata: &Metadata) -> Result<()> {
    let flags = UtimensatFlags::NoFollowSymlink;
    utimensat(parent, name, &time(metadata), &time(metadata), flags).context("cannot set its times")
}
