// SPDX-License-Identifier: Apache-2.0
//! Archives: for any bytes, nothing outside of the tree changes; an archive that is accepted is an image, and its tree
//! is exactly what the archive describes.
//!
//! The first byte says what the others are, so that the fuzzer gets past checksums and compression: [`FILE`], a file as
//! it is; [`STREAM`], a tar whose headers' checksums are corrected; otherwise choices from which `story` makes an
//! archive.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, Metadata as Found};
use std::io::{BufRead, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use archive::decode::decode;
use archive::{DeviceKind, Entry, EntryKind, Limits, Metadata, Reader};
use image::ImagePolicy;
use rustix::fs::{lgetxattr, makedev};
use store::extract::{Expected, Unpacker};

use crate::ground::Ground;
use crate::{check_message, story};

/// The first byte of a file.
pub const FILE: u8 = b'f';
/// The first byte of a tar stream.
pub const STREAM: u8 = b's';

/// Small enough that inputs also exceed the limits.
fn limits() -> Limits {
    Limits { bytes: 1 << 20, entries: 256, extended: 16 << 10, directories: 16 << 10, ..Limits::default() }
}

thread_local! {
    static GROUND: Ground = Ground::new();
}

/// Unpacks what the bytes stand for.
///
/// # Panics
/// Panics if a property does not hold.
pub fn check(data: &[u8]) -> bool {
    let file = match data.split_first() {
        Some((&FILE, file)) => file.to_vec(),
        Some((&STREAM, stream)) => with_sums(stream.to_vec()),
        _ => story::tell(data),
    };
    GROUND.with(|ground| {
        let unpacker = Unpacker { limits: limits(), ..Unpacker::default() };
        let unpack = |root| {
            unpacker.unpack(
                file.as_slice(),
                Expected::Anything,
                root,
                std::io::sink(),
                ImagePolicy::default(),
            )
        };
        ground.within(unpack, |root, unpacked| match unpacked {
            Ok(_) => {
                check_tree(root, &file);
                true
            }
            Err(error) => {
                check_message(&format!("{error:#}"));
                false
            }
        })
    })
}

/// Writes the checksum into each block that a reader would take for a header.
fn with_sums(mut stream: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while let Some(block) = stream.get_mut(at..at + 512) {
        at += 512;
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        let mut header = tar::Header::from_byte_slice(block).clone();
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
        let size = header.entry_size().unwrap_or_default().min(1 << 30);
        at += usize::try_from(size.next_multiple_of(512)).unwrap();
    }
    stream
}

/// Compares a tree with its archive.
fn check_tree(root: &Path, file: &[u8]) {
    assert!(root.join("manifest").symlink_metadata().unwrap().is_file());
    assert!(root.join("rootfs").symlink_metadata().unwrap().is_dir());
    let mut stream = Vec::new();
    decode(file, archive::GENEROUS_MEMORY).unwrap().1.read_to_end(&mut stream).unwrap();
    let mut reader = Reader::new(stream.as_slice(), limits());
    // Of several entries with one name, the last one counts.
    let (mut last, mut apart) = (BTreeMap::new(), BTreeSet::new());
    while let Some(entry) = reader.next_entry().unwrap() {
        let content = content_of(&mut reader);
        if entry.path.as_bytes().is_empty() {
            continue;
        }
        let path = below(root, entry.path.as_bytes());
        if !matches!(entry.kind, EntryKind::Directory) {
            last.retain(|other: &PathBuf, _| !other.starts_with(&path));
        }
        if last.contains_key(&path) || !matches!(entry.kind, EntryKind::Directory) {
            // Links to what was there before are names of something else now.
            apart.insert(path.clone());
        }
        if let EntryKind::HardLink { target } = &entry.kind {
            apart.remove(&below(root, target.as_bytes()));
        }
        last.insert(path, (entry, content));
    }
    let mut meant = BTreeSet::new();
    for (path, (entry, content)) in &last {
        meant.extend(path.ancestors().take_while(|path| *path != root).map(Path::to_owned));
        let found = path.symlink_metadata().unwrap();
        match &entry.kind {
            EntryKind::HardLink { target } if apart.contains(&below(root, target.as_bytes())) => {}
            _ => check_kind(root, path, entry, &found, content),
        }
        if !matches!(entry.kind, EntryKind::HardLink { .. }) {
            check_metadata(path, &entry.metadata, &found);
        }
    }
    assert_eq!(all_below(root), meant, "the tree has other names than the archive");
}

fn content_of(reader: &mut Reader<impl BufRead>) -> Vec<u8> {
    let mut content = Vec::new();
    let append = |chunk: &[u8]| {
        content.extend_from_slice(chunk);
        Ok::<_, archive::Error>(())
    };
    reader.content(append).unwrap();
    content
}

fn below(root: &Path, path: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(path))
}

fn all_below(directory: &Path) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            all.extend(all_below(&path));
        }
        all.insert(path);
    }
    all
}

fn check_kind(root: &Path, path: &Path, entry: &Entry, found: &Found, content: &[u8]) {
    let kind = found.file_type();
    match &entry.kind {
        EntryKind::File { size } => {
            assert!(kind.is_file() && found.len() == *size, "{path:?}: {found:?}");
            assert_eq!(fs::read(path).unwrap(), content, "{path:?}");
        }
        EntryKind::Directory => assert!(kind.is_dir(), "{path:?}: {found:?}"),
        EntryKind::Symlink { target } => {
            assert!(kind.is_symlink(), "{path:?}: {found:?}");
            assert_eq!(fs::read_link(path).unwrap().as_os_str().as_bytes(), target, "{path:?}");
        }
        EntryKind::HardLink { target } => {
            let target = below(root, target.as_bytes()).symlink_metadata().unwrap();
            assert_eq!((found.dev(), found.ino()), (target.dev(), target.ino()), "{path:?}");
        }
        EntryKind::Fifo => assert!(kind.is_fifo(), "{path:?}: {found:?}"),
        EntryKind::Device { kind: table, major, minor } => {
            let is_character = *table == DeviceKind::Character;
            assert_eq!((kind.is_char_device(), kind.is_block_device()), (is_character, !is_character));
            assert_eq!(found.rdev(), makedev(*major, *minor), "{path:?}");
        }
    }
}

fn check_metadata(path: &Path, meant: &Metadata, found: &Found) {
    assert_eq!((found.uid(), found.gid()), (meant.uid, meant.gid), "{path:?}");
    // Not every file system stores other times; ext4 stores these (ext4.rst, "Inode Timestamps").
    if i32::try_from(meant.mtime.seconds).is_ok() {
        let meant = (meant.mtime.seconds, i64::from(meant.mtime.nanoseconds));
        assert_eq!((found.mtime(), found.mtime_nsec()), meant, "{path:?}");
    }
    // A list may be equal to a mode, and the kernel turns it into one.
    let (lists, others): (Vec<_>, Vec<_>) =
        meant.xattrs.iter().partition(|xattr| xattr.name().starts_with("system."));
    if lists.is_empty() && !found.is_symlink() {
        assert_eq!(found.mode() & 0o7777, meant.mode, "{path:?}");
    }
    for xattr in others {
        let mut value = vec![0; 64 << 10];
        let length = lgetxattr(path, xattr.name(), &mut value[..]).unwrap();
        assert_eq!(&value[..length], xattr.value(), "{path:?}: {}", xattr.name());
    }
}
