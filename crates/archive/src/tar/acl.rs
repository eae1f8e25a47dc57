// SPDX-License-Identifier: Apache-2.0
//! Reads a POSIX ACL as text, which `tar --acls` writes (acl(5), "ACL TEXT FORMS"), to what the kernel takes as the
//! value of an attribute (linux/posix_acl_xattr.h).
//!
//! A user or group is known by its number: in the place of its name, or in a fourth field, as star(1) writes it. A name without a
//! number is refused: it is one of the machine that made the archive.

use pod::text::escape_bytes;

use crate::error::{Result, ensure, refuse};

/// The version of the attribute's value.
const VERSION: u32 = 2;
/// The id of an entry that has none.
const NO_ID: u32 = u32::MAX;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// Returns the attribute's value; `None` for an ACL that says no more than a mode.
pub(super) fn parse(text: &[u8]) -> Result<Option<Vec<u8>>> {
    let lines = text.split(|byte| matches!(byte, b',' | b'\n'));
    let lines = lines.map(|line| line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii());
    let mut entries = lines.filter(|line| !line.is_empty()).map(entry).collect::<Result<Vec<_>>>()?;
    // The kernel's order is that of the tags' numbers.
    entries.sort_unstable();
    let count = |tag: u16| entries.iter().filter(|entry| entry.0 == tag).count();
    let is_whole = [USER_OBJ, GROUP_OBJ, OTHER].iter().all(|tag| count(*tag) == 1) && count(MASK) < 2;
    ensure!(is_whole, "expected user, group and other once, and mask at most once");
    let is_distinct = entries.windows(2).all(|two| (two[0].0, two[0].1) != (two[1].0, two[1].1));
    ensure!(is_distinct, "expected each user and each group once");
    let has_names = count(USER) + count(GROUP) > 0;
    ensure!(!has_names || count(MASK) == 1, "expected a mask beside users and groups with names");
    if entries.len() == 3 {
        return Ok(None);
    }
    let one = |(tag, id, permissions): (u16, u32, u16)| {
        [tag.to_le_bytes().as_slice(), &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let entries = entries.into_iter().flat_map(one);
    Ok(Some(VERSION.to_le_bytes().into_iter().chain(entries).collect()))
}

/// Reads `TAG:NAME:PERMISSIONS` or `TAG:NAME:PERMISSIONS:ID`; returns the tag, the id and the permissions.
fn entry(line: &[u8]) -> Result<(u16, u32, u16)> {
    let fields: Vec<_> = line.split(|byte| *byte == b':').map(<[u8]>::trim_ascii).collect();
    let (tag, name, permissions, number) = match *fields.as_slice() {
        [tag, permissions] => (tag, &b""[..], permissions, &b""[..]),
        [tag, name, permissions] => (tag, name, permissions, &b""[..]),
        [tag, name, permissions, number] => (tag, name, permissions, number),
        _ => refuse!("entry {}: expected TAG:NAME:PERMISSIONS", escape_bytes(line)),
    };
    let tag = match (tag, name) {
        (b"user" | b"u", b"") => USER_OBJ,
        (b"user" | b"u", _) => USER,
        (b"group" | b"g", b"") => GROUP_OBJ,
        (b"group" | b"g", _) => GROUP,
        (b"mask" | b"m", b"") => MASK,
        (b"other" | b"o", b"") => OTHER,
        _ => refuse!("entry {}: expected user, group, mask or other", escape_bytes(line)),
    };
    let id = if name.is_empty() { NO_ID } else { id(name, number)? };
    let mut bits = 0;
    for byte in permissions {
        match byte {
            b'r' => bits |= 4,
            b'w' => bits |= 2,
            b'x' => bits |= 1,
            b'-' => {}
            _ => refuse!("entry {}: expected permissions such as r-x", escape_bytes(line)),
        }
    }
    Ok((tag, id, bits))
}

fn id(name: &[u8], number: &[u8]) -> Result<u32> {
    let parse = |text: &[u8]| {
        let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        std::str::from_utf8(text).ok().filter(|_| is_number)?.parse().ok().filter(|id| *id != NO_ID)
    };
    let known = if name == b"root" { Some(0) } else { None };
    match parse(number).or_else(|| parse(name)).or(known) {
        Some(id) => Ok(id),
        None => refuse!("{}: expected its number, as tar --numeric-owner writes it", escape_bytes(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<(u16, u16, u32)> {
        let value = parse(text.as_bytes()).unwrap().unwrap_or_default();
        let entries = value.get(4..).unwrap_or_default().chunks(8);
        let entry = |bytes: &[u8]| {
            let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
            (short(0), short(2), u32::from_le_bytes(bytes[4..8].try_into().unwrap()))
        };
        entries.map(entry).collect()
    }

    #[test]
    fn each_form_is_read() {
        let expected = [(1, 7, NO_ID), (2, 5, 7), (4, 4, NO_ID), (8, 6, 8), (16, 7, NO_ID), (32, 0, NO_ID)];
        for text in [
            "user::rwx,user:7:r-x,group::r--,group:8:rw-,mask::rwx,other::---",
            "user::rwx\nuser:lisa:r-x:7\ngroup::r--\ngroup:staff:rw-:8\nmask::rwx\nother::---\n",
            "other::---,mask:rwx,g:8:rw-,g::r--,u:7:r-x,u::rwx",
            "# file: x\nuser::rwx\nuser:7:r-x\t#effective:r--\ngroup::r--\ngroup:8:rw-\nmask::rwx\nother::---",
        ] {
            assert_eq!(entries(text), expected, "{text}");
        }
        assert_eq!(entries("user::rwx,group::r--,other::---"), []);
        assert_eq!(entries("user::rwx,user:root:r--,group::r--,mask::r--,other::---")[1], (2, 4, 0));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "x",
            "user::rwx",
            "user::rwx,group::r--,other::r-q",
            "user::rwx,group::r--,other::---,other::---",
            "user::rwx,user:7:r--,group::r--,other::---",
            "user::rwx,user:7:r--,user:7:r--,group::r--,mask::r--,other::---",
            "user::rwx,user:lisa:r--,group::r--,mask::r--,other::---",
            "user::rwx,user:4294967295:r--,group::r--,mask::r--,other::---",
            "user::rwx,group::r--,mask::r--,mask::r--,other::---",
            "user::rwx,group::r--,other:7:---",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
