// SPDX-License-Identifier: Apache-2.0
//! Makes the objects that an archive's entries describe, below a directory descriptor.
//!
//! Of two entries with one name, the last wins: what has the name is removed, then the object is made. The record is then
//! written from the tree itself, at the end. A hard link whose target is yet to come is made at the end, too.
//!
//! Invariant: no link is ever followed. A parent is opened by openat2(2) with `RESOLVE_BENEATH` and
//! `RESOLVE_NO_SYMLINKS`. The last component of a path is created, never opened, so no file that another name leads to is
//! written to.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use pod::path::RelativePath;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, linkat, makedev, mkdirat, mknodat, openat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::content::Content;
use super::directories::Directories;
use super::listing::Listing;
use super::metadata::{self, Modes};
use super::write_back::WriteBack;
use crate::fault::{Fault, Result, Within as _, refuse};
use crate::record::{self, Object, Output, Sealed, Writer};
use archive::{DeviceKind, Entry, EntryKind, Input, Metadata, Reader};
use sys::{Interrupt, open_beneath};

/// The mode of a FIFO or device until its metadata is set.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A writer of a tree and of its record.
#[derive(Debug)]
pub(super) struct TreeWriter<W> {
    root: OwnedFd,
    record: Writer<W>,
    directories: Directories,
    modes: Modes,
    write_back: WriteBack,
    /// The directory of the previous entry. Archives usually list all entries of a directory in one go.
    parent: Option<(RelativePath, OwnedFd)>,
    /// Hard links whose targets were not there yet, by their names.
    waiting: BTreeMap<RelativePath, RelativePath>,
    /// Whether an object was replaced that the record has.
    has_replaced: bool,
}

impl<W: Write> TreeWriter<W> {
    /// Starts a tree in the empty directory `root`. At most `memory` bytes are kept about directories.
    pub(super) fn new(
        root: OwnedFd,
        memory: usize,
        record: Writer<W>,
        modes: Modes,
        write_back: WriteBack,
    ) -> Self {
        Self {
            root,
            record,
            directories: Directories::new(memory),
            modes,
            write_back,
            parent: None,
            waiting: BTreeMap::new(),
            has_replaced: false,
        }
    }

    /// Makes the object that `entry` describes, with its content read from `content`.
    pub(super) fn add(&mut self, entry: &Entry, content: &mut Reader<impl Input>) -> Result<()> {
        let Entry { path, kind, metadata } = entry;
        self.waiting.remove(path);
        if *kind == EntryKind::Directory {
            return self.add_directory(path, metadata);
        }
        let Some((parent, name)) = path.split_last() else { refuse!("the root: expected a directory") };
        if let EntryKind::HardLink { target } = kind {
            return self.add_hard_link(path, target);
        }
        let modes = self.modes;
        let (kind, metadata) = match kind {
            EntryKind::File { .. } => {
                let flags =
                    OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mode = Mode::from_raw_mode(metadata.mode & metadata::PLAIN);
                let file = self.make(path, |parent, name| openat(parent, name, flags, mode))?;
                fill(&File::from(file), metadata, modes, content)?
            }
            EntryKind::Symlink { target } => {
                self.make(path, |parent, name| symlinkat(target.as_slice(), parent, name))?;
                let metadata = metadata::set_link(self.parent(parent)?, name, metadata)?;
                (record::ObjectKind::Symlink { target: target.clone() }, metadata)
            }
            EntryKind::Fifo => {
                self.make(path, |parent, name| mknodat(parent, name, FileType::Fifo, PRIVATE, 0))?;
                (record::ObjectKind::Fifo, metadata::set_special(self.parent(parent)?, name, metadata)?)
            }
            EntryKind::Device { kind, major, minor } => {
                let table = match kind {
                    DeviceKind::Character => FileType::CharacterDevice,
                    DeviceKind::Block => FileType::BlockDevice,
                };
                let device = makedev(*major, *minor);
                self.make(path, |parent, name| mknodat(parent, name, table, PRIVATE, device))?;
                let kind = record::ObjectKind::Device { kind: *kind, major: *major, minor: *minor };
                (kind, metadata::set_special(self.parent(parent)?, name, metadata)?)
            }
            EntryKind::Directory | EntryKind::HardLink { .. } => unreachable!("made above"),
        };
        if let record::ObjectKind::File { size, .. } = kind {
            self.write_back.add(size);
        }
        self.record.add(&Object { path: path.clone(), kind, metadata })
    }

    /// Makes the hard links that are left, sets the metadata that the directories still lack, and seals the record. At most
    /// `memory` bytes are kept about objects with several names, where the record is written from the tree.
    pub(super) fn finish(mut self, memory: usize, interrupt: &Interrupt) -> Result<Sealed>
    where
        W: Output,
    {
        self.make_waiting()?;
        let Self { root, mut record, directories, has_replaced, .. } = self;
        if has_replaced {
            let mut listing = Listing::new(record.restart()?, memory);
            for path in directories.iter() {
                let directory = open_directory(&root, path, OFlags::RDONLY)?;
                listing.directory(&directory, path, interrupt).within(|| format!("directory {path}"))?;
            }
            record = listing.record;
        }
        for (path, last) in directories.into_deepest_first() {
            let about = || format!("directory {path}");
            let directory = open_directory(&root, &path, OFlags::RDONLY).within(about)?;
            let metadata = metadata::finish_directory(&directory, &last).within(about)?;
            record.add(&Object { path, kind: record::ObjectKind::Directory, metadata })?;
        }
        record.finish()
    }

    fn add_directory(&mut self, path: &RelativePath, metadata: &Metadata) -> Result<()> {
        let was_named = self.directories.is_named(path);
        if !self.directories.contains(path) {
            self.make(path, |parent, name| mkdirat(parent, name, Mode::RWXU))?;
        }
        let now = self.directories.name(path, metadata)?;
        let directory = open_directory(&self.root, path, OFlags::RDONLY)?;
        if was_named {
            metadata::reset_directory(&directory)?;
        }
        metadata::set_directory(&directory, &now)?;
        // Its entries usually come next.
        self.parent = Some((path.clone(), directory));
        Ok(())
    }

    /// Makes one more name of an object, now or once it is there.
    fn add_hard_link(&mut self, path: &RelativePath, target: &RelativePath) -> Result<()> {
        if self.try_hard_link(path, target)? {
            return Ok(());
        }
        // The object that has the name now is not the one that the archive means.
        let (parent, name) = parts(path)?;
        let parent = open_directory(&self.root, &parent, OFlags::PATH);
        if let Ok(parent) = parent
            && statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
        {
            self.remove(&parent, path)?;
        }
        self.directories.spend_on_link(path.as_bytes().len() + target.as_bytes().len())?;
        self.waiting.insert(path.clone(), target.clone());
        Ok(())
    }

    /// Makes one more name of an object, and tells whether the object is there.
    fn try_hard_link(&mut self, path: &RelativePath, target: &RelativePath) -> Result<bool> {
        let Some((above, target_name)) = target.split_last() else { refuse!("a hard link to the root") };
        let about = || format!("hard link to {target}");
        let source = match open_beneath(&self.root, above.as_path(), OFlags::PATH | OFlags::DIRECTORY) {
            Err(error) if error.errno == Errno::NOENT => return Ok(false),
            _ => open_directory(&self.root, &above, OFlags::PATH).within(about)?,
        };
        match statat(&source, target_name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            stat if FileType::from_raw_mode(stat.within(about)?.st_mode) == FileType::Directory => {
                refuse!("hard link to {target}: expected no directory")
            }
            _ => {}
        }
        if path != target {
            // No AT_SYMLINK_FOLLOW: a hard link to a symbolic link is one more name of that link.
            self.make(path, |parent, name| linkat(&source, target_name, parent, name, AtFlags::empty()))
                .within(about)?;
            let kind = record::ObjectKind::HardLink { target: target.clone() };
            self.record.add(&Object { path: path.clone(), kind, metadata: Metadata::default() })?;
        }
        Ok(true)
    }

    /// Makes the hard links that came before their targets, which may be others of them.
    fn make_waiting(&mut self) -> Result<()> {
        loop {
            let before = self.waiting.len();
            for (path, target) in std::mem::take(&mut self.waiting) {
                if !self.try_hard_link(&path, &target).within(|| format!("entry {path}"))? {
                    self.waiting.insert(path, target);
                }
            }
            match self.waiting.first_key_value() {
                None => return Ok(()),
                Some((path, target)) if self.waiting.len() == before => {
                    refuse!("entry {path}: hard link to {target}: expected it in the archive")
                }
                Some(_) => {}
            }
        }
    }

    /// Makes an object by `make`, which gets its directory and its name. What has its name is removed first.
    fn make<T>(
        &mut self,
        path: &RelativePath,
        make: impl Fn(&OwnedFd, &OsStr) -> rustix::io::Result<T>,
    ) -> Result<T> {
        let (parent, name) = parts(path)?;
        match make(self.parent(parent.clone())?, name) {
            Err(Errno::EXIST) => {
                let directory =
                    self.parent(parent)?.try_clone().within(|| "cannot duplicate a descriptor")?;
                self.remove(&directory, path)?;
                make(&directory, name).within(|| "cannot create it")
            }
            made => made.within(|| "cannot create it"),
        }
    }

    /// Removes what an earlier entry has made at `path`, in the directory `parent`. A directory must be empty.
    fn remove(&mut self, parent: impl AsFd, path: &RelativePath) -> Result<()> {
        let (_, name) = parts(path)?;
        match unlinkat(&parent, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => match unlinkat(&parent, name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY | Errno::EXIST) => {
                    refuse!("replaces a directory that is not empty: expected another name")
                }
                removed => {
                    removed.within(|| "cannot remove what an earlier entry has made")?;
                    self.directories.forget(path);
                    self.parent = None;
                }
            },
            removed => removed.within(|| "cannot remove what an earlier entry has made")?,
        }
        self.has_replaced = true;
        Ok(())
    }

    /// Returns the directory `path`. It and its parents are made if they don't exist.
    fn parent(&mut self, path: RelativePath) -> Result<&OwnedFd> {
        if self.parent.as_ref().is_none_or(|(open, _)| *open != path) {
            if !self.directories.contains(&path) {
                self.make_parents(&path)?;
            }
            let directory = open_directory(&self.root, &path, OFlags::PATH)?;
            self.parent = Some((path, directory));
        }
        Ok(&self.parent.as_ref().expect("the parent was opened").1)
    }

    fn make_parents(&mut self, path: &RelativePath) -> Result<()> {
        let mut missing = vec![path.clone()];
        while let Some((parent, _)) = missing.last().and_then(RelativePath::split_last) {
            if self.directories.contains(&parent) {
                break;
            }
            missing.push(parent);
        }
        for path in missing.into_iter().rev() {
            let (above, name) = parts(&path)?;
            let above = open_directory(&self.root, &above, OFlags::PATH)?;
            match mkdirat(above, name, Mode::RWXU) {
                Err(Errno::EXIST) => {
                    refuse!("{path} is no directory: expected one above the entry");
                }
                done => done.within(|| "cannot create it")?,
            }
            self.directories.add_implied(path)?;
        }
        Ok(())
    }
}

/// Writes a file's content, and sets its metadata.
fn fill(
    file: &File,
    metadata: &Metadata,
    modes: Modes,
    content: &mut Reader<impl Input>,
) -> Result<(record::ObjectKind, Metadata)> {
    let (mut hasher, mut writing) = (blake3::Hasher::new(), Content::new(file));
    content.content(|chunk| {
        hasher.update(chunk);
        writing.add(chunk).within(|| "cannot write")
    })?;
    let size = writing.finish().within(|| "cannot write")?;
    let kind = record::ObjectKind::File { size, content: hasher.finalize() };
    Ok((kind, metadata::set_file(file, metadata, modes)?))
}

/// Returns the directory above, and the name in it.
fn parts(path: &RelativePath) -> Result<(RelativePath, &OsStr)> {
    path.split_last().ok_or_else(|| Fault::content("the root is always there"))
}

/// Opens a directory of the tree without following links.
pub fn open_directory(root: &OwnedFd, path: &RelativePath, flags: OFlags) -> Result<OwnedFd> {
    match open_beneath(root, path.as_path(), flags | OFlags::DIRECTORY) {
        Err(error) if matches!(error.errno, Errno::LOOP | Errno::NOTDIR) => {
            refuse!("lies below a link or a file: expected a directory")
        }
        opened => opened.within(|| "cannot open its directory"),
    }
}
