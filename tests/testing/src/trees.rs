// SPDX-License-Identifier: Apache-2.0
//! Reads trees on disk for comparison: every object with all of its metadata and content.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::tiny::MTIME;

/// An object of a tree. It excludes what differs between two runs of one program: inode numbers, and the times of
/// objects that don't come from an archive.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    /// The object's type and mode, as stat(2) returns them.
    pub mode: u32,
    /// Its owner and group.
    pub owner: (u32, u32),
    /// The number of its names in this tree; `None` for directories.
    pub names: Option<usize>,
    /// The modification time, if an archive set it: seconds and nanoseconds.
    pub modified: Option<(i64, i64)>,
    /// The device number, for a device.
    pub device: u64,
    /// Its extended attributes.
    pub attributes: Vec<(String, Vec<u8>)>,
    /// The content of a file, or the target of a link.
    pub content: Vec<u8>,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, owner, names, modified, device, attributes, content } = self;
        write!(f, "{mode:o} {owner:?} {names:?} {modified:?} {device} {attributes:?} ")?;
        write!(f, "{:?}", String::from_utf8_lossy(content))
    }
}

/// The objects below a directory, by path. The directory itself is at the empty path.
pub type Tree = BTreeMap<PathBuf, Object>;

/// Reads everything below `root`. Follows no link.
///
/// # Errors
/// Returns the system's error.
pub fn look(root: &Path) -> io::Result<Tree> {
    look_outside(root, |_| false)
}

/// Reads a tree like [`look`], but doesn't enter directories whose path in the tree is `closed`.
///
/// # Errors
/// Returns the system's error.
pub fn look_outside(root: &Path, closed: impl Fn(&Path) -> bool) -> io::Result<Tree> {
    let (mut tree, mut names) = (Tree::new(), BTreeMap::<_, Vec<PathBuf>>::new());
    let mut pending = vec![PathBuf::new()];
    while let Some(path) = pending.pop() {
        // Joining an empty path appends a slash, which would make a link be followed. That is safe, since roots are
        // directories.
        let full = root.join(&path);
        let metadata = fs::symlink_metadata(&full)?;
        if !metadata.is_dir() {
            names.entry((metadata.dev(), metadata.ino())).or_default().push(path.clone());
        } else if !closed(&path) {
            for entry in fs::read_dir(&full)? {
                pending.push(path.join(entry?.file_name()));
            }
        }
        tree.insert(path, object(&full, &metadata)?);
    }
    for same in names.values() {
        for path in same {
            tree.entry(path.clone()).and_modify(|object| object.names = Some(same.len()));
        }
    }
    Ok(tree)
}

fn object(path: &Path, metadata: &Metadata) -> io::Result<Object> {
    let kind = metadata.file_type();
    let content = match () {
        () if kind.is_file() => fs::read(path)?,
        () if kind.is_symlink() => fs::read_link(path)?.into_os_string().into_encoded_bytes(),
        () => Vec::new(),
    };
    let is_device = kind.is_char_device() || kind.is_block_device();
    Ok(Object {
        mode: metadata.mode(),
        owner: (metadata.uid(), metadata.gid()),
        names: None,
        modified: (metadata.mtime() <= MTIME.cast_signed())
            .then(|| (metadata.mtime(), metadata.mtime_nsec())),
        device: if is_device { metadata.rdev() } else { 0 },
        attributes: attributes(path)?,
        content,
    })
}

fn attributes(path: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut names)?;
    let mut attributes = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        // overlayfs chooses it at random at its first mount.
        if name == b"trusted.overlay.uuid" {
            continue;
        }
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::lgetxattr(path, name, &mut value)?;
        value.truncate(length);
        attributes.push((String::from_utf8_lossy(name).into_owned(), value));
    }
    attributes.sort();
    Ok(attributes)
}
