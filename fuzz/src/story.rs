// SPDX-License-Identifier: Apache-2.0
//! Choices → an archive that is well-formed except for its contents: entries whose names and targets meet each other.

use arbitrary::{Result, Unstructured};
use tar::Header;

use crate::writer::Tar;

const ENTRIES: usize = 24;
/// The components of names: few, so that names meet.
const COMPONENTS: &[&str] = &["a", "b", "c", "d", "l", "l", "sub", "file", "x\x1b", "canary"];
/// Names that have no place in an image, or two readings. Links also lead to them.
const ODD: &[&str] = &[
    "manifest",
    "rootfs",
    "rootfs/",
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
    "rootfs/l/../x",
    "/rootfs//a",
    "./rootfs/b/./c",
    "/proc/self/root",
    "/proc/self/fd/3",
    "/proc/self/cwd",
    "",
];
const KINDS: &[u8] = b"00005552221346xxL";
const ODD_KINDS: &[u8] = b"\x007KgSsVD";
const KEYS: &[&str] = &[
    "uid",
    "gid",
    "mtime",
    "comment",
    "SCHILY.xattr.user.a",
    "SCHILY.xattr.security.capability",
    "SCHILY.xattr.system.posix_acl_access",
    "SCHILY.xattr.system.posix_acl_default",
];
const ODD_KEYS: &[&str] = &[
    "path",
    "linkpath",
    "size",
    "GNU.sparse.major",
    "SCHILY.xattr.user.overlay.opaque",
    "SCHILY.xattr.trusted.overlay.opaque",
];
/// Values by the end of their keys.
const VALUES: &[(&str, &[u8])] = &[
    ("mtime", b"-0.500000001"),
    ("user.a", b"a\n=\0b"),
    // vfs_cap_data, revision 2 (linux/capability.h).
    ("capability", b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    // posix_acl_xattr: user 7 may read, beside the three entries of a mode (linux/posix_acl_xattr.h).
    (
        "access",
        b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\x07\0\0\0\x04\0\x04\0\xff\xff\xff\xff\x10\0\x04\0\
          \xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff",
    ),
];

/// Returns the archive that the choices in `data` make.
pub(crate) fn tell(data: &[u8]) -> Vec<u8> {
    let mut choices = Unstructured::new(data);
    let is_whole = !is_odd(&mut choices).unwrap_or_default();
    let mut tar = if is_whole { Tar::image() } else { Tar::default() };
    let mut names = Vec::new();
    for _ in 0..ENTRIES {
        if choices.is_empty() {
            break;
        }
        tar = match entry(tar.clone(), &mut names, &mut choices) {
            Ok(longer) => longer,
            Err(_) => break,
        };
    }
    tar.end()
}

/// Tells whether the next choice is to be an odd one.
fn is_odd(choices: &mut Unstructured<'_>) -> Result<bool> {
    choices.ratio(1, 40)
}

fn entry(tar: Tar, names: &mut Vec<Vec<u8>>, choices: &mut Unstructured<'_>) -> Result<Tar> {
    let kinds = if is_odd(choices)? { ODD_KINDS } else { KINDS };
    let kind = *choices.choose(kinds)?;
    let name = name(choices)?;
    let content = match kind {
        b'x' | b'g' => return pax(tar, kind, choices),
        b'L' | b'K' => [name.as_slice(), b"\0"].concat(),
        b'0' | 0 => vec![b'x'; choices.int_in_range(0..=1500)?],
        _ => Vec::new(),
    };
    let target = match kind {
        b'1' if !names.is_empty() && choices.ratio(7, 8)? => choices.choose(names)?.clone(),
        _ => target(choices)?,
    };
    let (numbers, odd): ([u16; 3], [u8; 4]) = choices.arbitrary()?;
    names.push(name.clone());
    Ok(tar.entry(&name[..name.len().min(100)], kind, &content, |header| {
        let length = target.len().min(100);
        header.as_old_mut().linkname[..length].copy_from_slice(&target[..length]);
        header.set_mode(u32::from(numbers[0] & 0o7777));
        header.set_uid(u64::from(numbers[1] & 3));
        header.set_mtime(u64::from(numbers[2]));
        let _ = header.set_device_major(u32::from(odd[0] & 3));
        let _ = header.set_device_minor(u32::from(odd[1] & 3) + 1);
        change(header, odd);
    }))
}

/// Sometimes writes a header in another form, or with any value in a field.
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
        let keys = if is_odd(choices)? { ODD_KEYS } else { KEYS };
        let key = *choices.choose(keys)?;
        let fitting =
            VALUES.iter().find(|(of, _)| key.ends_with(of)).map_or(b"7".as_slice(), |(_, value)| value);
        let value = match choices.ratio(1, 8)? {
            true => choices.arbitrary::<&[u8]>()?.to_vec(),
            false => fitting.to_vec(),
        };
        records.push((key, value));
    }
    let records: Vec<_> = records.iter().map(|(key, value)| (*key, value.as_slice())).collect();
    let mut content = Tar::records(&records);
    if is_odd(choices)? {
        content.truncate(choices.int_in_range(0..=content.len())?);
    }
    Ok(tar.entry(b"pax", kind, &content, |_| {}))
}

/// Chooses a name, mostly one in the rootfs.
fn name(choices: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    if is_odd(choices)? {
        return target(choices);
    }
    let mut name = b"rootfs".to_vec();
    for _ in 0..choices.int_in_range(1..=4)? {
        name.extend([b"/", choices.choose(COMPONENTS)?.as_bytes()].concat());
    }
    Ok(name)
}

/// Chooses a link's target, which may be anything.
fn target(choices: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    Ok(match choices.int_in_range(0..=7)? {
        0 => choices.arbitrary::<&[u8]>()?.to_vec(),
        1 => [b"rootfs/".as_slice(), choices.arbitrary::<&[u8]>()?].concat(),
        _ => choices.choose(ODD)?.as_bytes().to_vec(),
    })
}
