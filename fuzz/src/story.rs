// SPDX-License-Identifier: Apache-2.0
//! Choices → an archive that is well-formed but for what it says: entries whose names and targets meet each other.

use arbitrary::{Result, Unstructured};
use tar::Header;

use crate::writer::Tar;

const ENTRIES: usize = 24;
/// What entries are called, and what links lead to: few, so that they meet.
const NAMES: &[&str] = &[
    "manifest",
    "rootfs",
    "rootfs/",
    "rootfs/a",
    "rootfs/a/",
    "rootfs/a/b",
    "rootfs/a/b/c",
    "rootfs/b",
    "rootfs/b/c",
    "rootfs/l",
    "rootfs/l/x",
    "rootfs/l/../x",
    "/rootfs/a",
    "./rootfs//a/./b",
    "./",
    "/",
    "..",
    "../..",
    "../canary",
    "../canary.d",
    "../canary.link",
    "../../canary",
    "../../canary.d/sub",
    "rootfs/../../canary",
    "rootfs/l/canary",
    "rootfs/l/sub/file",
    "/proc/self/root",
    "/proc/self/fd/3",
    "/proc/self/cwd",
];
const KINDS: &[u8] = b"0000005555221167340xxLKgSsV\0";
const KEYS: &[&str] = &[
    "path",
    "linkpath",
    "size",
    "uid",
    "gid",
    "mtime",
    "comment",
    "GNU.sparse.major",
    "SCHILY.xattr.user.a",
    "SCHILY.xattr.user.overlay.opaque",
    "SCHILY.xattr.trusted.overlay.opaque",
    "SCHILY.xattr.security.capability",
    "SCHILY.xattr.system.posix_acl_access",
    "SCHILY.xattr.system.posix_acl_default",
];
const VALUES: &[&[u8]] = &[
    b"",
    b"0",
    b"-1",
    b"-0.5",
    b"1.000000001",
    b"7",
    b"4294967294",
    b"4294967295",
    b"99999999999999999999",
    b"a\n=\0b",
    // vfs_cap_data, revision 2 (linux/capability.h).
    b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    // posix_acl_xattr: user 7 may read beside the three of a mode (linux/posix_acl_xattr.h).
    b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\x07\0\0\0\x04\0\x04\0\xff\xff\xff\xff\x10\0\x04\0\
      \xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff",
];

/// The archive that the choices in `data` make.
pub(crate) fn tell(data: &[u8]) -> Vec<u8> {
    let mut choices = Unstructured::new(data);
    let mut tar = if choices.arbitrary().unwrap_or(true) { Tar::image() } else { Tar::default() };
    for _ in 0..ENTRIES {
        if choices.is_empty() {
            break;
        }
        tar = match entry(tar.clone(), &mut choices) {
            Ok(longer) => longer,
            Err(_) => break,
        };
    }
    tar.end()
}

fn entry(tar: Tar, choices: &mut Unstructured<'_>) -> Result<Tar> {
    let kind = *choices.choose(KINDS)?;
    let name = text(choices)?;
    let content = match kind {
        b'x' | b'g' => return pax(tar, kind, choices),
        b'L' | b'K' => [text(choices)?, vec![0; choices.int_in_range(0..=2)?]].concat(),
        b'0' | 0 => vec![b'x'; choices.int_in_range(0..=1500)?],
        _ => Vec::new(),
    };
    let target = text(choices)?;
    let numbers: [u16; 3] = choices.arbitrary()?;
    let odd: [u8; 4] = choices.arbitrary()?;
    Ok(tar.entry(&name[..name.len().min(100)], kind, &content, |header| {
        let length = target.len().min(100);
        header.as_old_mut().linkname[..length].copy_from_slice(&target[..length]);
        header.set_mode(u32::from(numbers[0] & 0o7777));
        header.set_uid(u64::from(numbers[1] & 3));
        header.set_mtime(u64::from(numbers[2]));
        let _ = header.set_device_major(u32::from(odd[0] & 3));
        let _ = header.set_device_minor(u32::from(odd[1] & 3));
        change(header, odd);
    }))
}

/// Now and then, a header in another form or with a field that is anything.
fn change(header: &mut Header, [_, _, which, value]: [u8; 4]) {
    match which {
        250 => header.as_old_mut().size[11] = value,
        251 => header.as_old_mut().mtime = [value | 0x80; 12],
        252 => header.as_old_mut().uid = [value; 8],
        253 => header.as_old_mut().mode = [value; 8],
        254 => header.as_mut_bytes()[257..265].copy_from_slice(b"ustar\x0000"),
        255 => header.as_mut_bytes()[usize::from(value)] ^= value,
        _ => {}
    }
}

fn pax(tar: Tar, kind: u8, choices: &mut Unstructured<'_>) -> Result<Tar> {
    let mut records: Vec<(&str, Vec<u8>)> = Vec::new();
    for _ in 0..choices.int_in_range(0..=3)? {
        let value = match choices.ratio(1, 3)? {
            true => text(choices)?,
            false => choices.choose(VALUES)?.to_vec(),
        };
        records.push((choices.choose(KEYS)?, value));
    }
    let records: Vec<_> = records.iter().map(|(key, value)| (*key, value.as_slice())).collect();
    let mut content = Tar::records(&records);
    if choices.ratio(1, 16)? {
        content.truncate(choices.int_in_range(0..=content.len())?);
    }
    Ok(tar.entry(b"pax", kind, &content, |_| {}))
}

/// A name, mostly one of the few.
fn text(choices: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    Ok(match choices.int_in_range(0..=15)? {
        0 => choices.arbitrary::<&[u8]>()?.to_vec(),
        1 => [b"rootfs/".as_slice(), choices.arbitrary::<&[u8]>()?].concat(),
        _ => choices.choose(NAMES)?.as_bytes().to_vec(),
    })
}
