// SPDX-License-Identifier: Apache-2.0
//! Reads what precedes an entry and overrides its header: pax records and GNU long names.
//!
//! See POSIX.1-2017, pax, "pax Extended Header". The tar crate ends a record at its first newline, which cuts binary
//! attributes, and skips malformed records. Archives hide entries by means of such differences between readers.
//!
//! Invariant: nothing is specified twice. Keys that change nothing on disk (times other than mtime, names of users,
//! comments, other programs' own) are ignored; unsupported keys that would (other programs' sparse maps) are refused.
//! An attribute has the same meaning under each program's key.

use std::collections::BTreeSet;

use pod::text::escape_bytes;
use tar::EntryType;

use super::acl;
use super::header::{decimal, usable_id};
use super::sparse;
use crate::entry::{Skipped, Timestamp, Xattr};
use crate::error::{Error, Result, Within as _, ensure, refuse};

const XATTR: &[u8] = b"SCHILY.xattr.";
/// bsdtar's: the name is percent-encoded, the value is in base64.
const ENCODED_XATTR: &[u8] = b"LIBARCHIVE.xattr.";
/// The label of SELinux, as the tar of some distributions has it.
const SELINUX: &[u8] = b"RHT.security.selinux";
const ACL: &[u8] = b"SCHILY.acl.";
const SPARSE: &[u8] = b"GNU.sparse.";
/// Keys that change what an entry is and that this reader does not follow.
const REFUSED: &[&[u8]] = &[b"SUN.holesdata", b"SCHILY.realsize", b"SCHILY.filetype"];
/// The most parts of a sparse file.
pub(super) const PARTS_MAX: usize = 1 << 16;

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
    pub(super) skipped: Skipped,
    pub(super) sparse: sparse::Records,
    has_pax: bool,
}

/// The values of global headers, which hold for all later entries without values of their own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Global {
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Timestamp>,
}

impl Global {
    /// Adds the records of a pax header for all later entries: a time, an owner, and what is ignored anyway, such as
    /// git-archive's comments.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<()> {
        for (key, value) in records(bytes)? {
            let about = || format!("global pax record {}", escape_bytes(key));
            match key {
                b"uid" => self.uid = Some(id(value).within(about)?),
                b"gid" => self.gid = Some(id(value).within(about)?),
                b"mtime" => self.mtime = Some(time(value).within(about)?),
                _ => {
                    let is_named = matches!(key, b"path" | b"linkpath" | b"size");
                    let prefixes =
                        [XATTR, ENCODED_XATTR, ACL, SPARSE].into_iter().chain(REFUSED.iter().copied());
                    let is_effective = is_named || prefixes.into_iter().any(|prefix| key.starts_with(prefix));
                    let key = escape_bytes(key);
                    ensure!(!is_effective, "global pax record {key}: expected it in front of each entry");
                }
            }
        }
        Ok(())
    }
}

impl Extended {
    /// Tells whether nothing was specified; otherwise an entry has to follow.
    pub(super) fn is_empty(&self) -> bool {
        !self.has_pax && self.path.is_none() && self.link.is_none()
    }

    /// Returns the entry's name, if it has another than its header says.
    pub(super) fn name(&self) -> Option<&Vec<u8>> {
        self.sparse.name.as_ref().or(self.path.as_ref())
    }

    /// Adds the content of an extended header of this kind; other kinds override nothing in the next entry.
    pub(super) fn add(&mut self, kind: EntryType, bytes: Vec<u8>) -> Result<()> {
        match kind {
            EntryType::XHeader => self.add_pax(&bytes),
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

    /// Adds an attribute, which may stand there under several keys.
    fn add_xattr(&mut self, name: &[u8], value: &[u8]) -> Result<()> {
        let Some(new) = Xattr::of_archive(name, value)? else {
            self.skipped.add(name);
            return Ok(());
        };
        match self.xattrs.iter().find(|there| there.name() == new.name()) {
            Some(there) => {
                ensure!(*there == new, "another value of attribute {}: expected one", escape_bytes(name));
            }
            None => self.xattrs.push(new),
        }
        Ok(())
    }

    fn add_acl(&mut self, name: &[u8], text: &[u8]) -> Result<()> {
        acl::parse(text)?.map_or(Ok(()), |value| self.add_xattr(name, &value))
    }

    fn add_record(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if let Some(name) = key.strip_prefix(XATTR) {
            return self.add_xattr(name, value);
        }
        if let Some(name) = key.strip_prefix(ENCODED_XATTR) {
            return self.add_xattr(&percent_decoded(name)?, &base64_decoded(value)?);
        }
        if let Some(key) = key.strip_prefix(SPARSE) {
            return self.sparse.add(key, value, PARTS_MAX);
        }
        match key {
            b"SCHILY.acl.access" => self.add_acl(b"system.posix_acl_access", value)?,
            b"SCHILY.acl.default" => self.add_acl(b"system.posix_acl_default", value)?,
            // An ACL of NFSv4, which file systems here don't have.
            _ if key.starts_with(ACL) => self.skipped.add(key),
            SELINUX => self.skipped.add(b"security.selinux"),
            b"path" => once(&mut self.path, value.to_vec(), "names")?,
            b"linkpath" => once(&mut self.link, value.to_vec(), "link targets")?,
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.uid = Some(id(value)?),
            b"gid" => self.gid = Some(id(value)?),
            b"mtime" => self.mtime = Some(time(value)?),
            _ if REFUSED.iter().any(|prefix| key.starts_with(prefix)) => refuse!("expected none of its kind"),
            _ => {}
        }
        Ok(())
    }
}

fn id(value: &[u8]) -> Result<u32> {
    usable_id(i64::try_from(decimal(value)?).map_err(Error::refused)?)
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
        let is_new = keys.insert(key) || sparse::Records::is_repeated(key);
        ensure!(is_new, "two pax records {}: expected one", escape_bytes(key));
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

/// Decodes `%` with two hex digits to the byte.
fn percent_decoded(text: &[u8]) -> Result<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let digits = rest.split_at_checked(2).and_then(|(digits, after)| {
            rest = after;
            let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
            std::str::from_utf8(digits).ok().filter(|_| is_hex)
        });
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(byte) = byte else {
            refuse!("{}: expected two hex digits after each %", escape_bytes(text))
        };
        decoded.push(byte);
    }
    Ok(decoded)
}

/// Decodes base64 with or without padding (RFC 4648, section 4).
fn base64_decoded(text: &[u8]) -> Result<Vec<u8>> {
    let (mut decoded, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text) {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => refuse!("{}: expected base64", escape_bytes(text)),
        };
        (bits, count) = (bits << 6 | u32::from(six), count + 6);
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count).to_le_bytes()[0]);
            bits &= (1 << count) - 1;
        }
    }
    ensure!(count < 6 && bits == 0, "{}: expected base64", escape_bytes(text));
    Ok(decoded)
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

    /// Returns a header of these records, each `KEY=VALUE`.
    fn written(all: &[&str]) -> Vec<u8> {
        let record = |text: &&str| {
            let rest = text.len() + 2;
            let length = (rest..).find(|length| rest + length.to_string().len() == *length).unwrap();
            format!("{length} {text}\n")
        };
        all.iter().map(record).collect::<String>().into_bytes()
    }

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
    fn global_headers_have_a_time_and_an_owner() {
        let global = |records: &[&str]| {
            let mut global = Global::default();
            global
                .add(&written(records))
                .map(|()| (global.mtime.map(|time| time.seconds), global.uid, global.gid))
        };
        assert_eq!(global(&["comment=x"]).unwrap(), (None, None, None));
        assert_eq!(global(&["mtime=5", "uid=6", "gid=7"]).unwrap(), (Some(5), Some(6), Some(7)));
        for bad in ["path=a", "size=1", "GNU.sparse.major=1", "uid=x", "SCHILY.acl.access=x"] {
            assert!(global(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn attributes_have_one_meaning_under_each_key() {
        let extended = pax(&written(&[
            "SCHILY.xattr.user.a=b",
            "LIBARCHIVE.xattr.user.a=Yg",
            "SCHILY.xattr.com.apple.x=1",
            "RHT.security.selinux=",
            "SCHILY.acl.ace=x:::y",
        ]));
        let Extended { xattrs, skipped, .. } = extended.unwrap();
        assert_eq!(xattrs, [Xattr::new(b"user.a", b"b").unwrap()]);
        assert_eq!(skipped.count, 3);
        for bad in [
            &["SCHILY.xattr.user.a=b", "LIBARCHIVE.xattr.user.a=AAAA"][..],
            &["LIBARCHIVE.xattr.user.a=?"],
            &["LIBARCHIVE.xattr.user.%4=AA"],
            &["LIBARCHIVE.xattr.trusted.overlay.opaque=eQ"],
            &["SCHILY.acl.access=x"],
            &["GNU.sparse.x=1"],
            &["SUN.holesdata=1"],
        ] {
            assert!(pax(&written(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn encodings() {
        assert_eq!(percent_decoded(b"a%41%3d").unwrap(), b"aA=");
        for bad in [b"%".as_slice(), b"%4", b"%+1", b"%zz"] {
            assert!(percent_decoded(bad).is_err(), "{bad:?}");
        }
        for (text, bytes) in
            [("", ""), ("Zg==", "f"), ("Zg", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg", "foob")]
        {
            assert_eq!(base64_decoded(text.as_bytes()).unwrap(), bytes.as_bytes(), "{text}");
        }
        for bad in ["Z", "Zh", "Zm9v!", "Zg==="] {
            assert!(base64_decoded(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
