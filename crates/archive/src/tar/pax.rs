// SPDX-License-Identifier: Apache-2.0
//! Reads what precedes an entry and overrides its header: pax records and GNU long names.
//!
//! See POSIX.1-2017, pax, "pax Extended Header". The tar crate ends a record at its first newline, which cuts binary
//! attributes, and skips malformed records. Archives hide entries by means of such differences between readers.
//!
//! Invariant: nothing is specified twice. Keys that change nothing on disk (times other than mtime, names of users,
//! comments, other programs' own) are ignored; unsupported keys that would (sparse maps, ACLs as text) are refused.

use std::collections::BTreeSet;

use pod::text::escape_bytes;
use tar::EntryType;

use super::header::usable_id;
use crate::entry::{Timestamp, Xattr};
use crate::error::{Error, Result, Within as _, ensure, refuse};

const XATTR: &[u8] = b"SCHILY.xattr.";
/// Keys that change what an entry is and that this reader does not follow.
const REFUSED: &[&[u8]] = &[b"GNU.sparse.", b"SCHILY.acl.", b"SCHILY.realsize", b"SCHILY.filetype"];

/// Everything that overrides the next entry's header.
#[derive(Debug, Default)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) xattrs: Vec<Xattr>,
    has_pax: bool,
}

impl Extended {
    /// Tells whether nothing was specified; otherwise an entry has to follow.
    pub(super) fn is_empty(&self) -> bool {
        !self.has_pax && self.path.is_none() && self.link.is_none()
    }

    /// Adds the content of an extended header of this kind; kinds other than these four override nothing.
    pub(super) fn add(&mut self, kind: EntryType, bytes: Vec<u8>) -> Result<()> {
        match kind {
            EntryType::XHeader => self.add_pax(&bytes),
            EntryType::XGlobalHeader => check_global(&bytes),
            EntryType::GNULongName => self.add_long_name(bytes),
            EntryType::GNULongLink => self.add_long_link(bytes),
            _ => Ok(()),
        }
    }

    /// Adds the records of a pax header for the next entry.
    fn add_pax(&mut self, bytes: &[u8]) -> Result<()> {
        ensure!(!std::mem::replace(&mut self.has_pax, true), "two pax headers for one entry: expected one");
        for (key, value) in records(bytes)? {
            self.add_record(key, value).within(|| format!("pax record {}", escape_bytes(key)))?;
        }
        Ok(())
    }

    /// Adds a GNU long name: a path, ended by a NUL.
    fn add_long_name(&mut self, mut bytes: Vec<u8>) -> Result<()> {
        strip_nul(&mut bytes);
        once(&mut self.path, bytes, "names")
    }

    /// Adds a GNU long link name.
    fn add_long_link(&mut self, mut bytes: Vec<u8>) -> Result<()> {
        strip_nul(&mut bytes);
        once(&mut self.link, bytes, "link targets")
    }

    fn add_record(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if let Some(name) = key.strip_prefix(XATTR) {
            self.xattrs.push(Xattr::new(name, value)?);
            return Ok(());
        }
        match key {
            b"path" => once(&mut self.path, value.to_vec(), "names")?,
            b"linkpath" => once(&mut self.link, value.to_vec(), "link targets")?,
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.uid = Some(usable_id(i64::try_from(decimal(value)?).map_err(Error::refused)?)?),
            b"gid" => self.gid = Some(usable_id(i64::try_from(decimal(value)?).map_err(Error::refused)?)?),
            b"mtime" => self.mtime = Some(time(value)?),
            _ if REFUSED.iter().any(|prefix| key.starts_with(prefix)) => refuse!("expected none of its kind"),
            _ => {}
        }
        Ok(())
    }
}

/// Checks a pax header for all later entries: it may only contain what is ignored anyway, such as git-archive's
/// comments.
fn check_global(bytes: &[u8]) -> Result<()> {
    for (key, _) in records(bytes)? {
        let effective = matches!(key, b"path" | b"linkpath" | b"size" | b"uid" | b"gid" | b"mtime")
            || key.starts_with(XATTR)
            || REFUSED.iter().any(|prefix| key.starts_with(prefix));
        ensure!(!effective, "global pax record {}: expected it in front of each entry", escape_bytes(key));
    }
    Ok(())
}

fn once(slot: &mut Option<Vec<u8>>, value: Vec<u8>, what: &str) -> Result<()> {
    ensure!(!value.is_empty(), "empty: expected a value");
    ensure!(slot.replace(value).is_none(), "two {what} for one entry: expected one");
    Ok(())
}

fn strip_nul(bytes: &mut Vec<u8>) {
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
}

/// Splits a pax header into its records: `LENGTH KEY=VALUE\n`, where the length is that of the whole record.
fn records(mut bytes: &[u8]) -> Result<Vec<(&[u8], &[u8])>> {
    let mut records = Vec::new();
    let mut keys = BTreeSet::new();
    while !bytes.is_empty() {
        let Some((key, value, rest)) = record(bytes) else {
            refuse!("malformed pax header: expected \"LENGTH KEY=VALUE\"");
        };
        ensure!(keys.insert(key), "two pax records {}: expected one", escape_bytes(key));
        records.push((key, value));
        bytes = rest;
    }
    Ok(records)
}

fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&bytes[..blank]).ok()?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let record = record.get(blank + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = record.split_at(equals);
    (!key.is_empty()).then_some((key, &value[1..], rest))
}

fn decimal(value: &[u8]) -> Result<u64> {
    let digits =
        std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
        Error::Refused(format!("{}: expected a number in decimal digits", escape_bytes(value)))
    })
}

/// Parses seconds with or without a sign and a fraction, of which nine digits count.
fn time(value: &[u8]) -> Result<Timestamp> {
    parse_time(value)
        .ok_or_else(|| Error::Refused(format!("{}: expected seconds since 1970", escape_bytes(value))))
}

fn parse_time(value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?;
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nanoseconds: u32 = format!("{:0<9.9}", fraction).parse().ok()?;
    Some(match (negative, nanoseconds) {
        (false, _) => Timestamp { seconds, nanoseconds },
        (true, 0) => Timestamp { seconds: -seconds, nanoseconds },
        (true, _) => Timestamp { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pax(bytes: &[u8]) -> Result<Extended> {
        let mut extended = Extended::default();
        extended.add_pax(bytes)?;
        Ok(extended)
    }

    #[test]
    fn records_are_binary() {
        let extended = pax(b"34 SCHILY.xattr.user.a=\n=\0 11 x=y\n12 path=a b\n").unwrap();
        assert_eq!(extended.xattrs[0].value(), b"\n=\0 11 x=y");
        assert_eq!(extended.path.as_deref(), Some(b"a b".as_slice()));
        assert!(!extended.is_empty());
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            b"x".as_slice(),
            b"8 path=a\n",
            b"11 path=a\n",
            b"9 path=a\n\0",
            b"9 path=a ",
            b"5 =a\n",
            b"6 abc\n",
            b"+9 path=a\n",
            b"99999999999999999999 path=a\n",
            b"0 path=a\n",
            b"8 path=\n",
            b"9 path=a\n9 path=b\n",
            b"11 size=-1\n",
            b"11 size=+1\n",
            b"18 uid=4294967295\n",
            b"11 mtime=x\n",
            b"22 GNU.sparse.major=1\n",
            b"23 SCHILY.acl.access=x\n",
        ] {
            assert!(pax(bad).is_err(), "{:?}", escape_bytes(bad));
        }
    }

    #[test]
    fn times_are_exact() {
        let parse = |text: &str| parse_time(text.as_bytes()).map(|time| (time.seconds, time.nanoseconds));
        assert_eq!(parse("0"), Some((0, 0)));
        assert_eq!(parse("1.5"), Some((1, 500_000_000)));
        assert_eq!(parse("1.0000000019"), Some((1, 1)));
        assert_eq!(parse("-1"), Some((-1, 0)));
        assert_eq!(parse("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(parse("-0.5"), Some((-1, 500_000_000)));
        for bad in ["", "-", ".5", "1.", "1e3", "+1", " 1", "99999999999999999999"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn global_headers_change_nothing() {
        assert!(check_global(b"13 comment=x\n").is_ok());
        assert!(check_global(b"10 path=a\n").is_err());
    }
}
