// SPDX-License-Identifier: Apache-2.0
//! Makes the objects that an archive's entries describe, below a directory descriptor.
//!
//! Invariant: no link is ever followed. A parent is opened by openat2(2) with `RESOLVE_BENEATH` and
//! `RESOLVE_NO_SYMLINKS`. The last component of a path is created, never opened, and must not exist.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use pod::path::RelativePath;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, linkat, makedev, mkdirat, mknodat, openat, symlinkat};
use rustix::io::Errno;

use super::directories::Directories;
use super::metadata::{self, Modes};
use super::write_back::WriteBack;
use crate::fault::{Fault, Result, Within as _, refuse};
use crate::record::{self, Object, Sealed, Writer};
use archive::{DeviceKind, Entry, EntryKind, Input, Metadata, Reader};
use sys::open_beneath;

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
        Self { root, record, directories: Directories::new(memory), modes, write_back, parent: None }
    }

    /// Makes the object that `entry` describes, with its content read from `content`.
    pub(super) fn add(&mut self, entry: &Entry, content: &mut Reader<impl Input>) -> Result<()> {
        let Entry { path, kind, metadata } = entry;
        if *kind == EntryKind::Directory {
            return self.add_directory(path, metadata);
        }
        let Some((parent, name)) = path.split_last() else { refuse!("the root: expected a directory") };
        if let EntryKind::HardLink { target } = kind {
            self.add_hard_link(&parent, name, target)?;
            let kind = record::ObjectKind::HardLink { target: target.clone() };
            return self.record.add(&Object { path: path.clone(), kind, metadata: Metadata::default() });
        }
        let modes = self.modes;
        let parent = self.parent(parent)?;
        let (kind, metadata) = match kind {
            EntryKind::File { .. } => add_file(parent, name, metadata, modes, content)?,
            EntryKind::Symlink { target } => {
                made(symlinkat(target.as_slice(), parent, name))?;
                (
                    record::ObjectKind::Symlink { target: target.clone() },
                    metadata::set_link(parent, name, metadata)?,
                )
            }
            EntryKind::Fifo => {
                made(mknodat(parent, name, FileType::Fifo, PRIVATE, 0))?;
                (record::ObjectKind::Fifo, metadata::set_special(parent, name, metadata)?)
            }
            EntryKind::Device { kind, major, minor } => {
                let table = match kind {
                    DeviceKind::Character => FileType::CharacterDevice,
                    DeviceKind::Block => FileType::BlockDevice,
                };
                made(mknodat(parent, name, table, PRIVATE, makedev(*major, *minor)))?;
                let kind = record::ObjectKind::Device { kind: *kind, major: *major, minor: *minor };
                (kind, metadata::set_special(parent, name, metadata)?)
            }
            EntryKind::Directory | EntryKind::HardLink { .. } => unreachable!("made above"),
        };
        if let record::ObjectKind::File { size, .. } = kind {
            self.write_back.add(size);
        }
        self.record.add(&Object { path: path.clone(), kind, metadata })
    }

    /// Sets the metadata that the directories still lack, and seals the record.
    pub(super) fn finish(self) -> Result<Sealed> {
        let Self { root, mut record, directories, .. } = self;
        for (path, last) in directories.into_deepest_first() {
            let about = || format!("directory {path}");
            let directory = open_directory(&root, &path, OFlags::RDONLY).within(about)?;
            let metadata = metadata::finish_directory(&directory, &last).within(about)?;
            record.add(&Object { path, kind: record::ObjectKind::Directory, metadata })?;
        }
        record.finish()
    }

    fn add_directory(&mut self, path: &RelativePath, metadata: &Metadata) -> Result<()> {
        if !self.directories.contains(path) {
            let (parent, name) = parts(path)?;
            made(mkdirat(self.parent(parent)?, name, Mode::RWXU))?;
        }
        let now = self.directories.name(path, metadata)?;
        let directory = open_directory(&self.root, path, OFlags::RDONLY)?;
        metadata::set_directory(&directory, &now)?;
        // Its entries usually come next.
        self.parent = Some((path.clone(), directory));
        Ok(())
    }

    fn add_hard_link(&mut self, parent: &RelativePath, name: &OsStr, target: &RelativePath) -> Result<()> {
        let Some((source, source_name)) = target.split_last() else { refuse!("a hard link to the root") };
        let source = open_directory(&self.root, &source, OFlags::PATH)
            .within(|| format!("hard link to {target}: expected it in the archive, before"))?;
        let parent = self.parent(parent.clone())?;
        // No AT_SYMLINK_FOLLOW: a hard link to a symbolic link is one more name of that link.
        match linkat(source, source_name, parent, name, AtFlags::empty()) {
            Err(Errno::NOENT) => refuse!("hard link to {target}: expected it in the archive, before"),
            Err(Errno::PERM) => refuse!("hard link to {target}: expected no directory"),
            done => made(done),
        }
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
                done => made(done)?,
            }
            self.directories.add_implied(path)?;
        }
        Ok(())
    }
}

fn add_file(
    parent: &OwnedFd,
    name: &OsStr,
    metadata: &Metadata,
    modes: Modes,
    content: &mut Reader<impl Input>,
) -> Result<(record::ObjectKind, Metadata)> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(metadata.mode & metadata::PLAIN);
    let mut file = File::from(made(openat(parent, name, flags, mode))?);
    let (mut hasher, mut size) = (blake3::Hasher::new(), 0);
    content.content(|chunk| {
        hasher.update(chunk);
        size += chunk.len() as u64;
        file.write_all(chunk).within(|| "cannot write")
    })?;
    let kind = record::ObjectKind::File { size, content: hasher.finalize() };
    Ok((kind, metadata::set_file(&file, metadata, modes)?))
}

/// Gives the error of making an object its meaning. An object that exists was made by an earlier entry, as the root was
/// empty.
fn made<T>(result: rustix::io::Result<T>) -> Result<T> {
    result.map_err(|error| match error {
        Errno::EXIST => Fault::content("stands twice in the archive: expected once"),
        error => Fault::from(error).at("cannot create it"),
    })
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
