// SPDX-License-Identifier: Apache-2.0
//! Trees as they lie on disk, to be compared: every object with all there is to know of it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::tiny::MTIME;

/// An object of a tree. What two runs of one program can't make alike is not in it: inode numbers, and the times of
/// what is not from an archive.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    /// Its kind and mode, as stat(2) gives them.
    pub mode: u32,
    /// Its owner and group.
    pub owner: (u32, u32),
    /// How many names it has in this tree; not said of directories.
    pub names: Option<usize>,
    /// When it was modified, where an archive said so: seconds and nanoseconds.
    pub modified: Option<(i64, i64)>,
    /// The device that it is.
    pub device: u64,
    /// Its extended attributes.
    pub attributes: Vec<(String, Vec<u8>)>,
    /// A file's content, a link's target.
    pub content: Vec<u8>,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, owner, names, modified, device, attributes, content } = self;
        write!(f, "{mode:o} {owner:?} {names:?} {modified:?} {device} {attributes:?} ")?;
        write!(f, "{:?}", String::from_utf8_lossy(content))
    }
}

/// The objects below a directory, by path; of the directory itself at the empty path.
pub type Tree = BTreeMap<PathBuf, Object>;

/// Looks at everything below `root`. Nothing is followed.
///
/// # Errors
/// The system's.
pub fn look(root: &Path) -> io::Result<Tree> {
    look_outside(root, |_| false)
}

/// Like [`look`], but not into directories that are `closed`, by their paths in the tree.
///
/// # Errors
/// The system's.
pub fn look_outside(root: &Path, closed: impl Fn(&Path) -> bool) -> io::Result<Tree> {
    let (mut tree, mut names) = (Tree::new(), BTreeMap::<_, Vec<PathBuf>>::new());
    let mut pending = vec![PathBuf::new()];
    while let Some(path) = pending.pop() {
        // With an empty path, a slash is appended, and a link would be followed: roots are directories.
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
        // Drawn at random at overlayfs's first mount.
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
