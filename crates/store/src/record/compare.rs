// SPDX-License-Identifier: Apache-2.0
//! Compares a record with the tree that exists now.
//!
//! Invariants: no link is followed, no device or FIFO is opened, and nothing outside of the tree is examined. Memory is
//! bounded by the number of objects (a hash and a number for each) and by the directories' names, not by what the
//! directories contain.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io::BufRead;
use std::os::fd::OwnedFd;

use pod::path::RelativePath;
use pod::text::escape_bytes;
use rustix::fs::{Dir, FileType, Stat};
use rustix::io::Errno;

use super::difference::{Difference, What};
use super::disk::is_same;
use super::inspect::{self, Opened};
use super::object::{Object, ObjectKind};
use super::reader::Reader;
use crate::fault::{Result, Within as _, check, ensure};
use sys::Interrupt;

/// Returns all differences between `record` and the tree in `root`.
///
/// # Errors
/// If the record is truncated or altered, or the tree can't be examined; once interrupted.
pub fn differences(record: impl BufRead, root: &OwnedFd, interrupt: &Interrupt) -> Result<Vec<Difference>> {
    let mut reader = Reader::new(record)?;
    let mut comparison = Comparison::new(root, interrupt);
    while let Some(object) = reader.next_object()? {
        check(interrupt)?;
        let about = || format!("object {}", object.path);
        comparison.known(&object.path)?;
        comparison.object(&object).within(about)?;
    }
    comparison.extras()?;
    Ok(comparison.found)
}

struct Comparison<'a> {
    root: &'a OwnedFd,
    interrupt: &'a Interrupt,
    found: Vec<Difference>,
    /// A hash of each path in the record. Its key is random, so an attacker can't make an extra object that collides.
    names: HashSet<u64>,
    hasher: RandomState,
    /// Directories of the record that exist.
    directories: Vec<RelativePath>,
    /// Objects with several links that were found under an earlier path of the record.
    linked: HashSet<(u64, u64)>,
}

impl<'a> Comparison<'a> {
    fn new(root: &'a OwnedFd, interrupt: &'a Interrupt) -> Self {
        Self {
            root,
            interrupt,
            found: Vec::new(),
            names: HashSet::new(),
            hasher: RandomState::new(),
            directories: Vec::new(),
            linked: HashSet::new(),
        }
    }

    fn known(&mut self, path: &RelativePath) -> Result<()> {
        let is_new = self.names.insert(self.hasher.hash_one(path.as_bytes()));
        ensure!(is_new, "the record has {path} twice: expected once");
        Ok(())
    }

    fn differ(
        &mut self,
        path: &RelativePath,
        what: What,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        self.found.push(Difference::new(path.as_bytes(), what, found, expected));
    }

    fn object(&mut self, object: &Object) -> Result<()> {
        let Object { path, kind, .. } = object;
        let opened = match inspect::open(self.root, path) {
            Ok(opened) => opened,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                self.differ(path, What::Missing, "nothing", inspect::name(kind));
                return Ok(());
            }
            Err(error) => return Err(error).within(|| "cannot open it"),
        };
        if let ObjectKind::HardLink { target } = kind {
            return self.hard_link(path, target, &opened.stat);
        }
        let file_type = FileType::from_raw_mode(opened.stat.st_mode);
        if file_type != inspect::file_type(kind) {
            self.differ(path, What::Type, inspect::type_name(file_type), inspect::name(kind));
            return Ok(());
        }
        self.identity(path, kind, &opened.stat);
        if *kind == ObjectKind::Directory {
            self.directories.push(path.clone());
        }
        self.metadata(object, &opened)?;
        self.content(object, &opened)
    }

    /// Compares one more name of `target`: both names must lead to the same object, which was compared under the first.
    fn hard_link(&mut self, path: &RelativePath, target: &RelativePath, stat: &Stat) -> Result<()> {
        match inspect::open(self.root, target) {
            Ok(first) if is_same(&first.stat, stat) => {}
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                self.differ(path, What::Identity, "another object", format!("a hard link to {target}"));
            }
            Err(error) => return Err(error).within(|| "cannot open what it is a hard link to"),
        }
        Ok(())
    }

    /// Checks that an object is not the same as an earlier one of the record. Hard links from outside of the tree don't
    /// count.
    fn identity(&mut self, path: &RelativePath, kind: &ObjectKind, stat: &Stat) {
        if *kind == ObjectKind::Directory || stat.st_nlink < 2 {
            return;
        }
        if !self.linked.insert((stat.st_dev, stat.st_ino)) {
            self.differ(path, What::Identity, "a hard link to one before it", "an object of its own");
        }
    }

    fn metadata(&mut self, object: &Object, opened: &Opened) -> Result<()> {
        let Object { path, kind, metadata: expected } = object;
        let found = super::disk::of_stat(&opened.stat);
        let has_mode = !matches!(kind, ObjectKind::Symlink { .. });
        if has_mode && found.mode != expected.mode {
            self.differ(path, What::Mode, format!("{:04o}", found.mode), format!("{:04o}", expected.mode));
        }
        if (found.uid, found.gid) != (expected.uid, expected.gid) {
            let (found, expected) = ((found.uid, found.gid), (expected.uid, expected.gid));
            let show = |(uid, gid)| format!("{uid}:{gid}");
            self.differ(path, What::Owner, show(found), show(expected));
        }
        if found.mtime != expected.mtime {
            self.differ(path, What::Mtime, found.mtime.to_string(), expected.mtime.to_string());
        }
        let mut wanted: Vec<_> = expected
            .xattrs
            .iter()
            .map(|xattr| (xattr.name().as_bytes().to_vec(), xattr.value().to_vec()))
            .collect();
        wanted.sort();
        match opened.xattrs(kind) {
            Ok(there) if there == wanted => {}
            Ok(there) => self.differ(path, What::Xattrs, inspect::list(&there), inspect::list(&wanted)),
            Err(error) if inspect::is_damage(error) => {
                self.differ(path, What::Unreadable, error.to_string(), "attributes");
            }
            Err(error) => return Err(error).within(|| "cannot read its attributes"),
        }
        Ok(())
    }

    fn content(&mut self, object: &Object, opened: &Opened) -> Result<()> {
        let Object { path, kind, .. } = object;
        match kind {
            ObjectKind::File { size, content } => self.file(path, *size, *content, opened),
            ObjectKind::Symlink { target } => {
                let found = opened.target().within(|| "cannot read the link")?;
                if found != *target {
                    self.differ(path, What::Target, escape_bytes(&found), escape_bytes(target));
                }
                Ok(())
            }
            ObjectKind::Device { major, minor, .. } => {
                let found = (rustix::fs::major(opened.stat.st_rdev), rustix::fs::minor(opened.stat.st_rdev));
                let show = |(major, minor)| format!("{major}:{minor}");
                if found != (*major, *minor) {
                    self.differ(path, What::Device, show(found), show((*major, *minor)));
                }
                Ok(())
            }
            ObjectKind::Directory | ObjectKind::Fifo | ObjectKind::HardLink { .. } => Ok(()),
        }
    }

    fn file(&mut self, path: &RelativePath, size: u64, content: blake3::Hash, opened: &Opened) -> Result<()> {
        let found = u64::try_from(opened.stat.st_size).unwrap_or_default();
        if found != size {
            self.differ(path, What::Size, format!("{found} bytes"), format!("{size} bytes"));
            return Ok(());
        }
        match opened.content(self.interrupt) {
            Ok(found) if found == content => {}
            Ok(found) => self.differ(path, What::Content, found.to_string(), content.to_string()),
            Err(error) if Errno::from_io_error(&error).is_some_and(inspect::is_damage) => {
                self.differ(path, What::Unreadable, error.to_string(), "content");
            }
            Err(error) => return Err(error).within(|| "cannot read it"),
        }
        Ok(())
    }

    /// Looks in each directory for objects that are not in the record.
    fn extras(&mut self) -> Result<()> {
        for directory in std::mem::take(&mut self.directories) {
            let about = || format!("directory {directory}");
            let opened = inspect::open_directory(self.root, &directory).within(about)?;
            for entry in Dir::new(opened).within(about)? {
                check(self.interrupt)?;
                let entry = entry.within(about)?;
                let name = entry.file_name().to_bytes();
                if matches!(name, b"." | b"..") {
                    continue;
                }
                let mut path = directory.as_bytes().to_vec();
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend(name);
                if !self.names.contains(&self.hasher.hash_one(path.as_slice())) {
                    let found = inspect::type_name(entry.file_type());
                    self.found.push(Difference::new(&path, What::Extra, found, "nothing"));
                }
            }
        }
        Ok(())
    }
}
