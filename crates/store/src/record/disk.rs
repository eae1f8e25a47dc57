// SPDX-License-Identifier: Apache-2.0
//! Reads the metadata of an object from the file system.

use std::ffi::OsStr;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, Stat, fgetxattr, flistxattr, flistxattr_query, fstat, statat};
use rustix::io::Errno;

use archive::{Metadata, Timestamp, Xattr};

/// The maximum length of a list of attribute names, and of a value (linux/limits.h).
pub(super) const XATTR_MAX: usize = 64 << 10;

/// An attribute's name and value as they are found, which may be ones that no image can have.
pub(super) type Attribute = (Vec<u8>, Vec<u8>);

/// Returns the metadata of an open file or directory as the file system has kept it.
///
/// It may differ from what was set: an ACL and the mode share bits, the kernel normalises ACLs, and not every file
/// system can store all times.
pub fn kept(object: impl AsFd, wanted: &Metadata) -> Result<Metadata> {
    if wanted.xattrs.is_empty() && is_universal(wanted.mtime) {
        return Ok(wanted.clone());
    }
    let stat = fstat(&object).context("cannot look at it")?;
    let mut kept = of_stat(&stat);
    for xattr in &wanted.xattrs {
        match get(&object, xattr.name().as_bytes()) {
            // The mode may express all that the ACL says.
            Err(Errno::NODATA) => {}
            value => kept.xattrs.push(Xattr::new(xattr.name().as_bytes(), &value?)?),
        }
    }
    Ok(kept)
}

/// Returns all metadata of an open file or directory.
pub fn found(object: impl AsFd) -> Result<Metadata> {
    let mut found = of_stat(&fstat(&object).context("cannot look at it")?);
    let xattrs = xattrs(&object).context("cannot read its attributes")?;
    found.xattrs = xattrs.iter().map(|(name, value)| Xattr::new(name, value)).collect::<Result<_>>()?;
    Ok(found)
}

/// Does the same as [`kept`] for an object without attributes: a link, FIFO or device.
pub fn kept_at(parent: impl AsFd, name: &OsStr, wanted: &Metadata) -> Result<Metadata> {
    if is_universal(wanted.mtime) {
        return Ok(wanted.clone());
    }
    let stat = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).context("cannot look at it")?;
    Ok(of_stat(&stat))
}

/// Tells whether every file system can store this time exactly.
fn is_universal(time: Timestamp) -> bool {
    time.nanoseconds == 0 && (0..=i64::from(i32::MAX)).contains(&time.seconds)
}

/// Returns the metadata in a stat, which has no attributes.
pub fn of_stat(stat: &Stat) -> Metadata {
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
    Metadata {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: Timestamp { seconds: stat.st_mtime, nanoseconds },
        xattrs: Vec::new(),
    }
}

/// Returns the attributes of an open file or directory that an image can set and those that control overlays, sorted by
/// name. All others are set by the host itself, such as labels of its security modules.
pub(super) fn xattrs(object: impl AsFd) -> rustix::io::Result<Vec<Attribute>> {
    // Most objects have none.
    let mut names = match flistxattr_query(&object) {
        Err(Errno::OPNOTSUPP) | Ok(0) => return Ok(Vec::new()),
        length => vec![0; length?],
    };
    let length = flistxattr(&object, names.as_mut_slice())?;
    let mut all = Vec::new();
    for name in own_names(&names[..length]) {
        match get(&object, name) {
            Err(Errno::NODATA) => {}
            value => all.push((name.to_vec(), value?)),
        }
    }
    all.sort();
    Ok(all)
}

/// Returns all attributes of an open file or directory that an image may have.
pub fn typed_xattrs(object: impl AsFd) -> Result<Vec<Xattr>> {
    xattrs(object)?.iter().map(|(name, value)| Xattr::new(name, value)).collect()
}

/// Returns the names in a list in the format of listxattr(2), without those that the host sets itself.
pub(super) fn own_names(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let prefixes = [b"user.".as_slice(), b"trusted.", b"security.capability", b"system.posix_acl_"];
    list.split(|byte| *byte == 0).filter(move |name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
}

fn get(object: impl AsFd, name: &[u8]) -> rustix::io::Result<Vec<u8>> {
    let mut value = vec![0; XATTR_MAX];
    let length = fgetxattr(&object, name, value.as_mut_slice())?;
    value.truncate(length);
    Ok(value)
}

/// Tells whether two stats are of the same object.
pub(super) fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}
