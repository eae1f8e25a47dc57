// SPDX-License-Identifier: Apache-2.0
//! Tests of the format: a reader accepts what a writer wrote, and nothing else.

use std::fs::{self, File};

use super::*;
use crate::fault::{Fault, Result};
use archive::{DeviceKind, Metadata};
use archive::{Timestamp, Xattr};
use pod::path::RelativePath;
use sys::Interrupt;

fn path(bytes: &[u8]) -> RelativePath {
    RelativePath::from_bytes(bytes).unwrap()
}

fn objects() -> Vec<Object> {
    let xattrs =
        vec![Xattr::new(b"user.a=b \n", b"\0=\\ \n\xff").unwrap(), Xattr::new(b"user.e", b"").unwrap()];
    let mtime = Timestamp { seconds: -2, nanoseconds: 750_000_000 };
    let metadata = Metadata { mode: 0o4755, uid: 1, gid: u32::MAX - 1, mtime, xattrs };
    let plain = Metadata { xattrs: Vec::new(), ..metadata.clone() };
    let of_link = Metadata { mode: 0, ..plain.clone() };
    let device = |kind| ObjectKind::Device { kind, major: 4095, minor: 1 << 19 };
    let file = ObjectKind::File { size: u64::MAX, content: [0xab; 32].into() };
    [
        (b"a b/\xff\n\\".as_slice(), file, metadata.clone()),
        (b"l", ObjectKind::Symlink { target: b"/ \n\0x".to_vec() }, of_link),
        (b"h", ObjectKind::HardLink { target: path(b"a b/\xff\n\\") }, Metadata::default()),
        (b"f", ObjectKind::Fifo, plain.clone()),
        (b"c", device(DeviceKind::Character), plain.clone()),
        (b"b", device(DeviceKind::Block), plain),
        (b"..a", ObjectKind::Directory, metadata.clone()),
        (b"", ObjectKind::Directory, metadata),
    ]
    .map(|(name, kind, metadata)| Object { path: path(name), kind, metadata })
    .into()
}

fn write(objects: &[Object]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    objects.iter().for_each(|object| writer.add(object).unwrap());
    assert_eq!(writer.finish().unwrap().objects, objects.len() as u64);
    bytes
}

fn read(bytes: &[u8]) -> Result<Vec<Object>> {
    let mut reader = Reader::new(bytes)?;
    std::iter::from_fn(|| reader.next_object().transpose()).collect()
}

#[test]
fn what_is_written_is_read() {
    let bytes = write(&objects());
    assert!(
        bytes.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n')),
        "{}",
        String::from_utf8_lossy(&bytes)
    );
    assert_eq!(read(&bytes).unwrap(), objects());
    assert_eq!(read(&write(&[])).unwrap(), []);
}

#[test]
fn a_record_cut_anywhere_is_refused() {
    let bytes = write(&objects());
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length]).is_err(), "cut to {length} bytes");
    }
}

#[test]
fn a_record_altered_anywhere_is_refused() {
    let bytes = write(&objects());
    for at in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        assert!(read(&altered).is_err(), "byte {at} changed");
    }
    assert!(read(&[&bytes[..], b"\n"].concat()).is_err());
    let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for at in 0..lines.len() {
        let without = [&lines[..at], &lines[at + 1..]].concat().concat();
        assert!(read(&without).is_err(), "line {at} is gone");
    }
}

#[test]
fn lines_that_mean_nothing_are_refused() {
    for bad in [
        "",
        "file",
        "file a",
        "socket a 0644 0 0 0.000000000",
        "dir a/ 0755 0 0 0.000000000",
        "dir ../a 0755 0 0 0.000000000",
        "dir  0755 0 0 0.000000000",
        "dir a 0758 0 0 0.000000000",
        "dir a - 0 0 0.000000000",
        "dir a 0755 -1 0 0.000000000",
        "dir a 0755 0 0 0.0",
        "dir a 0755 0 0 0.000000000 user.a",
        "dir a 0755 0 0 0.000000000 trusted.overlay.opaque=y",
        "file a 0644 0 0 0.000000000 1 abc",
        "char a 0644 0 0 0.000000000 1",
        "hard a b c",
    ] {
        assert!(line::decode(bad.as_bytes()).is_err(), "{bad}");
    }
}

/// Holds for many objects, and for one long file.
#[test]
fn a_comparison_ends_once_interrupted() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("f"), "").unwrap();
    let root = File::open(directory.path()).unwrap().into();
    let interrupted = Interrupt::by(15);
    let is_told = |error: Fault| error.to_string().ends_with("interrupted");
    let record = write(&objects());
    assert!(is_told(differences(record.as_slice(), &root, &interrupted).unwrap_err()));
    let file = inspect::open(&root, &path(b"f")).unwrap();
    file.content(&Interrupt::default()).unwrap();
    assert!(is_told(file.content(&interrupted).unwrap_err().into()));
}
