// SPDX-License-Identifier: Apache-2.0
//! A tar entry as what it means: checked name, kind and metadata. Nothing of the archive is believed after this.
//!
//! Formats: POSIX.1-2017 pax, and GNU tar's base-256 numbers and long names (tar.info, "Basic Tar Format").

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result, bail, ensure};
use pod::path::RelativePath;
use pod::text::escape_bytes;
use tar::EntryType;

/// Entries may lie this deep: descriptors and stack suffice to remove them again.
const DEPTH_MAX: usize = 256;
/// What precedes an extended attribute's name in a PAX record.
const XATTR: &str = "SCHILY.xattr.";

/// An entry of an archive.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: RelativePath,
    pub(crate) kind: Kind,
    pub(crate) metadata: Metadata,
}

/// What an entry makes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    /// Its content follows in the stream.
    File,
    /// To this target, verbatim.
    Symlink(OsString),
    /// To this earlier entry.
    HardLink(RelativePath),
    CharacterDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
}

/// What an entry says of its file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Permissions with set-id and sticky bits.
    pub(crate) mode: u32,
    /// Seconds since 1970, and nanoseconds from there on.
    pub(crate) mtime: (i64, u32),
    pub(crate) xattrs: Vec<(OsString, Vec<u8>)>,
}

/// Values that PAX records put in place of the header's.
#[derive(Debug, Default)]
struct Pax {
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<(i64, u32)>,
    xattrs: Vec<(OsString, Vec<u8>)>,
}

/// Reads what an entry says; its name stands before any error.
pub(crate) fn parse<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Entry> {
    let name = entry.path_bytes().into_owned();
    parse_named(entry, &name).with_context(|| format!("entry {}", escape_bytes(&name)))
}

fn parse_named<R: Read>(entry: &mut tar::Entry<'_, R>, name: &[u8]) -> Result<Entry> {
    ensure!(!name.is_empty(), "has no name");
    let path = RelativePath::from_bytes(name)?;
    ensure!(path.components().count() <= DEPTH_MAX, "lies deeper than {DEPTH_MAX} directories");
    let pax = pax(entry)?;
    let header = entry.header();
    let kind = kind(entry)?;
    let metadata = Metadata {
        uid: id(pax.uid.map_or_else(|| header.uid(), Ok)?, "owner")?,
        gid: id(pax.gid.map_or_else(|| header.gid(), Ok)?, "group")?,
        mode: header.mode()? & 0o7777,
        mtime: pax.mtime.map_or_else(|| mtime(&header.as_old().mtime), Ok)?,
        xattrs: pax.xattrs,
    };
    ensure!(
        metadata.xattrs.is_empty() || !matches!(kind, Kind::Symlink(_)),
        "is a link with extended attributes"
    );
    Ok(Entry { path, kind, metadata })
}

fn kind<R: Read>(entry: &tar::Entry<'_, R>) -> Result<Kind> {
    let header = entry.header();
    let target =
        || entry.link_name_bytes().filter(|target| !target.is_empty()).context("is a link to nowhere");
    let device = || -> Result<(u32, u32)> {
        let (major, minor) =
            header.device_major()?.zip(header.device_minor()?).context("has no device number")?;
        Ok((major, minor))
    };
    Ok(match header.entry_type() {
        EntryType::Directory => Kind::Directory,
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Symlink => {
            let target = target()?;
            ensure!(!target.contains(&0), "is a link whose target has a NUL");
            Kind::Symlink(OsStr::from_bytes(&target).to_owned())
        }
        EntryType::Link => Kind::HardLink(RelativePath::from_bytes(&target()?).context("is a hard link")?),
        EntryType::Char => {
            let (major, minor) = device()?;
            // What overlayfs takes for a deleted file (kernel's filesystems/overlayfs, "whiteouts").
            ensure!((major, minor) != (0, 0), "is character device 0:0, an overlay whiteout");
            Kind::CharacterDevice(major, minor)
        }
        EntryType::Block => {
            let (major, minor) = device()?;
            Kind::BlockDevice(major, minor)
        }
        EntryType::Fifo => Kind::Fifo,
        EntryType::GNUSparse => bail!("is a sparse file: expected a plain one"),
        other => bail!("is of unknown type {:#04x}", other.as_byte()),
    })
}

/// An id that chown(2) takes as one.
fn id(id: u64, of: &str) -> Result<u32> {
    u32::try_from(id)
        .ok()
        .filter(|id| *id != u32::MAX)
        .with_context(|| format!("has {of} {id}: expected less than 4294967295"))
}

/// A header's time: octal digits, or with the first bit set a big-endian two's complement number.
fn mtime(field: &[u8; 12]) -> Result<(i64, u32)> {
    if field[0] & 0x80 == 0 {
        let digits = std::str::from_utf8(field).unwrap_or("?").trim_matches(['\0', ' ']);
        let seconds = if digits.is_empty() { Ok(0) } else { i64::from_str_radix(digits, 8) };
        return Ok((seconds.context("has an invalid mtime")?, 0));
    }
    // The marker bit is also the number's sign where the bit below it is set.
    let extended = field[..4].iter().skip(1).all(|byte| *byte == 0xff) && field[0] == 0xff;
    let positive = field[..4].iter().skip(1).all(|byte| *byte == 0) && field[0] == 0x80;
    let mut low = [0; 8];
    low.copy_from_slice(&field[4..]);
    let seconds = i64::from_be_bytes(low);
    ensure!((extended && seconds < 0) || (positive && seconds >= 0), "has an mtime out of range");
    Ok((seconds, 0))
}

fn pax<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Pax> {
    let mut pax = Pax::default();
    let Some(records) = entry.pax_extensions()? else { return Ok(pax) };
    for record in records {
        let record = record.context("has a malformed PAX record")?;
        let key = record.key().context("has a PAX record whose key is not text")?;
        let number =
            || record.value().ok().and_then(|value| value.parse().ok()).context("has an invalid PAX number");
        match key {
            "uid" => pax.uid = Some(number()?),
            "gid" => pax.gid = Some(number()?),
            "mtime" => pax.mtime = Some(pax_time(record.value()?).context("has an invalid PAX mtime")?),
            key if key.starts_with("GNU.sparse.") => bail!("is a sparse file: expected a plain one"),
            key => {
                if let Some(name) = key.strip_prefix(XATTR) {
                    check_xattr(name)?;
                    pax.xattrs.push((name.into(), record.value_bytes().to_owned()));
                }
            }
        }
    }
    Ok(pax)
}

/// Attributes that are the file's own. Others belong to the kernel, to overlayfs or to the host's policy.
fn check_xattr(name: &str) -> Result<()> {
    let kept = name.starts_with("user.") && !name.starts_with("user.overlay.")
        || matches!(name, "security.capability" | "system.posix_acl_access" | "system.posix_acl_default");
    ensure!(
        kept,
        "has the extended attribute {}: expected user.*, security.capability or an ACL",
        pod::text::escape(name)
    );
    Ok(())
}

/// `-1.5` is half a second after second −2.
fn pax_time(text: &str) -> Option<(i64, u32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds));
    }
    Some((seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(mtime(b"00000000017\0").unwrap(), (15, 0));
        assert_eq!(mtime(&[0xff; 12]).unwrap(), (-1, 0));
        assert_eq!(mtime(b"\x80\0\0\0\0\0\0\x02\0\0\0\0").unwrap(), (1 << 33, 0));
        assert!(mtime(b"\xff\0\0\0\0\0\0\0\0\0\0\0").is_err());
        assert!(mtime(b"0000000009x\0").is_err());
        assert_eq!(pax_time("12.5"), Some((12, 500_000_000)));
        assert_eq!(pax_time("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(pax_time("-1"), Some((-1, 0)));
        assert_eq!(pax_time("1.x"), None);
    }

    #[test]
    fn ids_and_attributes() {
        assert!(id(4_294_967_294, "owner").is_ok());
        assert!(id(4_294_967_295, "owner").is_err());
        for good in ["user.a", "security.capability", "system.posix_acl_access"] {
            assert!(check_xattr(good).is_ok(), "{good}");
        }
        for bad in ["trusted.overlay.opaque", "user.overlay.opaque", "security.ima", "security.evm", "user"] {
            assert!(check_xattr(bad).is_err(), "{bad}");
        }
    }
}
