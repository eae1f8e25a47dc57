// SPDX-License-Identifier: Apache-2.0
//! Makes the objects that a layer's entries describe, in the place of what lower layers left there.
//!
//! Invariant: an object is made under a name that is free. What has the name is removed first, so no file that another
//! name leads to is ever written to, and no link in the last component of a path is followed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use pod::path::{AbsolutePath, RelativePath};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, linkat, makedev, mkdirat, mknodat, openat, statat, symlinkat,
};
use rustix::io::Errno;

use super::super::content::Content;
use super::super::directories::Directories;
use super::super::metadata::{self, Modes};
use super::super::open_directory;
use super::super::write_back::WriteBack;
use super::resolve::{self, Found};
use crate::extract::listing::join;
use crate::fault::{OrFault as _, Result, Within as _, refuse};
use archive::{DeviceKind, Entry, EntryKind, Input, Metadata, Reader};

/// The mode of a FIFO or device until its metadata is set.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);
const HARD_LINK_EXPECTED: &str = "expected it in this layer or in a lower one";

/// A tree that layers are unpacked into.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: OwnedFd,
    /// All directories of the tree, by paths without links.
    pub(super) directories: Directories,
    /// The directory of the previous entry. Layers usually list all entries of a directory in one go.
    pub(super) parent: Option<Rc<Parent>>,
    modes: Modes,
    write_back: WriteBack,
    /// Hard links of the current layer whose targets were not there yet, by their names.
    waiting: BTreeMap<RelativePath, RelativePath>,
}

/// A directory that entries are made in.
#[derive(Debug)]
pub(super) struct Parent {
    /// Its path as entries have it.
    written: RelativePath,
    /// Its path without links.
    real: RelativePath,
    directory: OwnedFd,
}

impl Tree {
    /// Starts a tree in the empty directory `root`. At most `memory` bytes are kept about directories.
    pub(super) fn new(root: OwnedFd, memory: usize, modes: Modes, write_back: WriteBack) -> Self {
        let (directories, waiting) = (Directories::new(memory), BTreeMap::new());
        Self { root, directories, parent: None, modes, write_back, waiting }
    }

    /// Makes the object that `entry` describes, with its content read from `content`.
    pub(super) fn add(&mut self, entry: &Entry, content: &mut Reader<impl Input>) -> Result<()> {
        self.add_with(entry, |file| {
            let mut writing = Content::new(file);
            content.content(|chunk| writing.add(chunk).within(|| "cannot write"))?;
            writing.finish().within(|| "cannot write")
        })
    }

    /// Makes the object that `entry` describes. `fill` writes a file's content, and returns its size.
    pub(super) fn add_with(
        &mut self,
        entry: &Entry,
        fill: impl FnOnce(&mut File) -> Result<u64>,
    ) -> Result<()> {
        let Entry { path, kind, metadata } = entry;
        self.waiting.remove(path);
        let Some((parent, name)) = path.split_last() else {
            return match kind {
                EntryKind::Directory => self.set_directory(path, metadata),
                _ => refuse!("the root: expected a directory"),
            };
        };
        let parent = self.enter(parent)?;
        if let EntryKind::HardLink { target } = kind {
            if !self.try_hard_link(&parent, name, target)? {
                self.directories.spend_on_link(path.as_bytes().len() + target.as_bytes().len())?;
                self.waiting.insert(path.clone(), target.clone());
            }
            return Ok(());
        }
        match kind {
            EntryKind::Directory => return self.add_directory(&parent, name, metadata),
            EntryKind::HardLink { .. } => unreachable!("made above"),
            EntryKind::File { .. } => {
                let flags =
                    OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mode = Mode::from_raw_mode(metadata.mode & metadata::PLAIN);
                let file = self.make(&parent, name, || openat(&parent.directory, name, flags, mode))?;
                let mut file = File::from(file);
                let size = fill(&mut file)?;
                metadata::set_file(&file, metadata, self.modes)?;
                self.write_back.add(size);
            }
            EntryKind::Symlink { target } => {
                self.make(&parent, name, || symlinkat(target.as_slice(), &parent.directory, name))?;
                metadata::set_link(&parent.directory, name, metadata)?;
            }
            EntryKind::Fifo => self.add_special(&parent, name, FileType::Fifo, 0, metadata)?,
            EntryKind::Device { kind, major, minor } => {
                let table = match kind {
                    DeviceKind::Character => FileType::CharacterDevice,
                    DeviceKind::Block => FileType::BlockDevice,
                };
                self.add_special(&parent, name, table, makedev(*major, *minor), metadata)?;
            }
        }
        Ok(())
    }

    fn add_special(
        &mut self,
        parent: &Parent,
        name: &OsStr,
        table: FileType,
        device: u64,
        metadata: &Metadata,
    ) -> Result<()> {
        self.make(parent, name, || mknodat(&parent.directory, name, table, PRIVATE, device))?;
        metadata::set_special(&parent.directory, name, metadata)?;
        Ok(())
    }

    /// Makes a directory, or gives the one that is there the entry's metadata.
    fn add_directory(&mut self, parent: &Parent, name: &OsStr, metadata: &Metadata) -> Result<()> {
        let real = join(&parent.real, name.as_encoded_bytes())?;
        if !self.directories.contains(&real) {
            self.make(parent, name, || mkdirat(&parent.directory, name, Mode::RWXU))?;
            self.directories.add_implied(real.clone())?;
        }
        self.set_directory(&real, metadata)
    }

    /// Gives a directory that is there an entry's metadata, and none of what it had.
    fn set_directory(&mut self, real: &RelativePath, metadata: &Metadata) -> Result<()> {
        let was_named = self.directories.is_named(real);
        let now = self.directories.name(real, metadata)?;
        let directory = open_directory(&self.root, real, OFlags::RDONLY)?;
        if was_named {
            metadata::reset_directory(&directory)?;
        }
        metadata::set_directory(&directory, &now)
    }

    /// Makes one more name of an object, and tells whether the object is there.
    fn try_hard_link(&mut self, parent: &Parent, name: &OsStr, target: &RelativePath) -> Result<bool> {
        let Some((source, source_name)) = target.split_last() else { refuse!("a hard link to the root") };
        let Some(source) = resolve::existing(&self.root, &self.directories, &source)? else {
            return Ok(false);
        };
        let directory = open_directory(&self.root, &source, OFlags::PATH)?;
        match statat(&directory, source_name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            stat if FileType::from_raw_mode(stat?.st_mode) == FileType::Directory => {
                refuse!("hard link to {target}: expected no directory")
            }
            _ => {}
        }
        if (&source, source_name) == (&parent.real, name) {
            return Ok(true);
        }
        // No AT_SYMLINK_FOLLOW: a hard link to a symbolic link is one more name of that link.
        let link = || linkat(&directory, source_name, &parent.directory, name, AtFlags::empty());
        self.make(parent, name, link).within(|| format!("hard link to {target}"))?;
        Ok(true)
    }

    /// Makes the hard links that came before their targets in a layer, at the layer's end.
    pub(super) fn make_waiting(&mut self) -> Result<()> {
        loop {
            let before = self.waiting.len();
            for (path, target) in std::mem::take(&mut self.waiting) {
                let (parent, name) = path.split_last().or_fault(|| "the root is no hard link")?;
                let parent = self.enter(parent)?;
                let about = || format!("entry {path}");
                if !self.try_hard_link(&parent, name, &target).within(about)? {
                    self.waiting.insert(path, target);
                }
            }
            match self.waiting.first_key_value() {
                None => return Ok(()),
                Some((path, target)) if self.waiting.len() == before => {
                    refuse!("entry {path}: hard link to {target}: {HARD_LINK_EXPECTED}")
                }
                Some(_) => {}
            }
        }
    }

    /// Makes an object by `make`. What has its name is removed first.
    fn make<T>(
        &mut self,
        parent: &Parent,
        name: &OsStr,
        make: impl Fn() -> rustix::io::Result<T>,
    ) -> Result<T> {
        match make() {
            Err(Errno::EXIST) => {
                self.remove(&join(&parent.real, name.as_encoded_bytes())?)?;
                make().within(|| "cannot create it")
            }
            made => made.within(|| "cannot create it"),
        }
    }

    /// Returns the directory `written`, inside of the tree. It and those above it are made if they don't exist; an
    /// object that is no directory is replaced.
    fn enter(&mut self, written: RelativePath) -> Result<Rc<Parent>> {
        if let Some(parent) = self.parent.as_ref().filter(|parent| parent.written == written) {
            return Ok(Rc::clone(parent));
        }
        let real = self.ensure(&written)?;
        let directory = open_directory(&self.root, &real, OFlags::PATH)?;
        let parent = Rc::new(Parent { written, real, directory });
        self.parent = Some(Rc::clone(&parent));
        Ok(parent)
    }

    /// Makes the directory `path` and those above it, unless something is there, or a file is above it.
    pub(super) fn make_missing(&mut self, path: &AbsolutePath) -> Result<()> {
        let path = RelativePath::from_bytes(path.as_str().trim_start_matches('/').as_bytes())?;
        match resolve::directory(&self.root, &self.directories, &path)? {
            Found::Missing(missing) => missing.into_iter().try_for_each(|path| self.imply(path)),
            Found::Directory(_) | Found::Blocked(_) => Ok(()),
        }
    }

    fn ensure(&mut self, path: &RelativePath) -> Result<RelativePath> {
        loop {
            match resolve::directory(&self.root, &self.directories, path)? {
                Found::Directory(real) => return Ok(real),
                // There is one object fewer afterwards, so this ends.
                Found::Blocked(object) => self.remove(&object)?,
                Found::Missing(missing) => missing.into_iter().try_for_each(|path| self.imply(path))?,
            }
        }
    }

    /// Makes the directory `path`, which gets no metadata, or leaves that of the directory which is there. The one above is
    /// there.
    pub(super) fn imply_directory(&mut self, path: &RelativePath) -> Result<()> {
        if self.directories.contains(path) {
            return Ok(());
        }
        let Some((parent, name)) = path.split_last() else { return Ok(()) };
        let parent = self.enter(parent)?;
        self.make(&parent, name, || mkdirat(&parent.directory, name, Mode::RWXU))?;
        self.directories.add_implied(path.clone())
    }

    fn imply(&mut self, path: RelativePath) -> Result<()> {
        let (parent, name) = path.split_last().or_fault(|| "the root is always there")?;
        let parent = open_directory(&self.root, &parent, OFlags::PATH)?;
        mkdirat(parent, name, Mode::RWXU).within(|| "cannot create a directory above it")?;
        self.directories.add_implied(path)
    }
}
