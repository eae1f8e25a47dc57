// SPDX-License-Identifier: Apache-2.0
//! Reads the metadata of an object from the file system.

use std::ffi::OsStr;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Stat, fstat, statat};

use crate::fault::{Result, Within as _};
use archive::{Metadata, Timestamp, Xattr};

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
    let stat = fstat(&object).within(|| "cannot look at it")?;
    let mut kept = of_stat(&stat);
    for xattr in &wanted.xattrs {
        // The mode may express all that an ACL says.
        if let Some(value) = sys::xattrs::get(&object, xattr.name().as_bytes())? {
            kept.xattrs.push(Xattr::new(xattr.name().as_bytes(), &value)?);
        }
    }
    Ok(kept)
}

/// Returns all metadata of an open file or directory.
pub fn found(object: impl AsFd) -> Result<Metadata> {
    let mut found = of_stat(&fstat(&object).within(|| "cannot look at it")?);
    let xattrs = xattrs(&object).within(|| "cannot read its attributes")?;
    found.xattrs = xattrs.iter().map(|(name, value)| Ok(Xattr::new(name, value)?)).collect::<Result<_>>()?;
    Ok(found)
}

/// Does the same as [`kept`] for an object without attributes: a link, FIFO or device.
pub fn kept_at(parent: impl AsFd, name: &OsStr, wanted: &Metadata) -> Result<Metadata> {
    if is_universal(wanted.mtime) {
        return Ok(wanted.clone());
    }
    let stat = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).within(|| "cannot look at it")?;
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
    own(sys::xattrs::list(&object)?, |name| sys::xattrs::get(&object, name))
}

/// Returns all attributes of an open file or directory that an image may have.
pub fn typed_xattrs(object: impl AsFd) -> Result<Vec<Xattr>> {
    xattrs(object)?.iter().map(|(name, value)| Ok(Xattr::new(name, value)?)).collect()
}

/// Returns the attributes `names` with their values, sorted by name, without those that the host sets itself.
pub(super) fn own(
    names: Vec<Vec<u8>>,
    get: impl Fn(&[u8]) -> rustix::io::Result<Option<Vec<u8>>>,
) -> rustix::io::Result<Vec<Attribute>> {
    let prefixes = [b"user.".as_slice(), b"trusted.", b"security.capability", b"system.posix_acl_"];
    let mut all = Vec::new();
    for name in names.into_iter().filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix))) {
        if let Some(value) = get(&name)? {
            all.push((name, value));
        }
    }
    all.sort();
    Ok(all)
}

/// Tells whether two stats are of the same object.
pub(super) fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}
