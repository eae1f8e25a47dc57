// SPDX-License-Identifier: Apache-2.0
//! Members: where in an uncompressed tar each file's content is.
//!
//! Archives of images have their index last (`index.json`, `manifest.json`), after the layers. So the tar's headers are
//! read once, content is skipped by seeking, and members are read by their offsets afterwards.
//!
//! Invariant: a name leads to a part of this tar or to nothing. Links are followed inside of the tar, a bounded number of
//! times.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Seek as _};

use pod::path::RelativePath;

use crate::error::{Result, ensure};
use crate::{EntryKind, Exceeded, Limits, Reader};

/// The most headers that are read: an image has a few members for each layer.
const HEADERS_MAX: u64 = 1 << 16;
/// The most bytes of names and link targets that are kept.
const NAMES_MAX: usize = 8 << 20;
/// The most links that are followed for one name, as in path_resolution(7).
const LINKS_MAX: usize = 40;
const BUFFER: usize = 4 << 10;

/// The members of a tar.
#[derive(Clone, Debug, Default)]
pub struct Members(BTreeMap<RelativePath, Member>);

/// The range of the tar that is a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The offset of its first byte.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
}

#[derive(Clone, Debug)]
enum Member {
    File(Place),
    /// A link to the member of this name.
    Link(RelativePath),
}

impl Members {
    /// Reads the headers of the tar that is all of `file`. Of two members with one name, the last counts.
    ///
    /// # Errors
    /// If it is cut or no tar, has too many members, or can't be read.
    pub fn read(file: &File) -> Result<Self> {
        let mut input = BufReader::with_capacity(BUFFER, file);
        input.rewind()?;
        let limits = Limits { bytes: u64::MAX, entries: HEADERS_MAX, ..Limits::default() };
        let mut reader = Reader::new(input, limits);
        let (mut all, mut names) = (BTreeMap::new(), 0);
        while let Some(entry) = reader.next_entry()? {
            ensure!(!reader.is_sparse(), "entry {}: a sparse file: expected it written whole", entry.path);
            let member = match entry.kind {
                EntryKind::File { size } => Some(Member::File(Place { offset: reader.offset(), size })),
                EntryKind::Symlink { target } => target_of(&entry.path, &target).map(Member::Link),
                EntryKind::HardLink { target } => Some(Member::Link(target)),
                EntryKind::Directory | EntryKind::Fifo | EntryKind::Device { .. } => None,
            };
            if let Some(Member::Link(target)) = &member {
                names += target.as_bytes().len();
            }
            names += entry.path.as_bytes().len();
            let too_many = || Exceeded::fixed("too many members: expected names of fewer bytes".into());
            ensure!(names <= NAMES_MAX, too_many());
            match member {
                Some(member) => drop(all.insert(entry.path, member)),
                None => drop(all.remove(&entry.path)),
            }
            reader.skip_by(|input, bytes| {
                i64::try_from(bytes)
                    .map_err(std::io::Error::other)
                    .and_then(|bytes| input.seek_relative(bytes))
            })?;
        }
        Ok(Self(all))
    }

    /// Returns the name of the tar's first entry that is not its root.
    ///
    /// # Errors
    /// If it is no tar, or can't be read.
    pub fn first(file: &File) -> Result<Option<RelativePath>> {
        let mut input = BufReader::with_capacity(BUFFER, file);
        input.rewind()?;
        let mut reader = Reader::new(input, Limits::default());
        loop {
            match reader.next_entry()? {
                Some(entry) if entry.path.as_bytes().is_empty() => {}
                found => return Ok(found.map(|entry| entry.path)),
            }
        }
    }

    /// Returns where the content of the file `name` is. Links to it are followed.
    pub fn find(&self, name: &RelativePath) -> Option<Place> {
        let mut name = name;
        for _ in 0..LINKS_MAX {
            match self.0.get(name)? {
                Member::File(place) => return Some(*place),
                Member::Link(target) => name = target,
            }
        }
        None
    }
}

/// Returns the name that a link at `path` leads to; `None` if that is not in the tar.
fn target_of(path: &RelativePath, target: &[u8]) -> Option<RelativePath> {
    let (parent, _) = path.split_last()?;
    let from = if target.starts_with(b"/") { &[][..] } else { parent.as_bytes() };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in from.split(|byte| *byte == b'/').chain(target.split(|byte| *byte == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    RelativePath::from_bytes(&parts.join(&b'/')).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn path(text: &str) -> RelativePath {
        RelativePath::from_bytes(text.as_bytes()).unwrap()
    }

    fn header(kind: tar::EntryType, size: u64) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header
    }

    fn members(build: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> (File, Result<Members>) {
        let mut builder = tar::Builder::new(Vec::new());
        build(&mut builder);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&builder.into_inner().unwrap()).unwrap();
        let members = Members::read(&file);
        (file, members)
    }

    fn add(builder: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]) {
        let mut header = header(tar::EntryType::Regular, content.len() as u64);
        builder.append_data(&mut header, name, content).unwrap();
    }

    fn link(builder: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, name: &str, target: &str) {
        builder.append_link(&mut header(kind, 0), name, target).unwrap();
    }

    #[test]
    fn content_is_found_behind_links() {
        let (file, members) = members(|builder| {
            add(builder, "a/layer.tar", &[b'x'; 700]);
            link(builder, tar::EntryType::Symlink, "b/layer.tar", "../a/layer.tar");
            link(builder, tar::EntryType::Link, "c", "b/layer.tar");
            link(builder, tar::EntryType::Symlink, "out", "../../etc/passwd");
            link(builder, tar::EntryType::Symlink, "round", "round");
            add(builder, "last", b"old");
            add(builder, "./last", b"new!");
        });
        let members = members.unwrap();
        let read = |name: &str| {
            let Place { offset, size } = members.find(&path(name))?;
            Some(std::io::read_to_string(crate::layer::Extent::new(&file, offset, size)).unwrap())
        };
        for name in ["a/layer.tar", "b/layer.tar", "c"] {
            assert_eq!(read(name).unwrap(), "x".repeat(700), "{name}");
        }
        assert_eq!(read("last").unwrap(), "new!");
        for none in ["out", "round", "a", "none", "etc/passwd"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn a_cut_archive_is_refused() {
        let (file, members) = members(|builder| add(builder, "a", &[b'x'; 5000]));
        assert!(members.is_ok());
        for length in [5000, 1000, 100, 0] {
            file.set_len(length).unwrap();
            assert!(Members::read(&file).is_err(), "{length}");
        }
    }
}
