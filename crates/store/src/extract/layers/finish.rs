// SPDX-License-Identifier: Apache-2.0
//! The frame around the layers, and the record of the whole tree, read from the tree itself.
//!
//! A record is not written as objects are made, as for one archive: later layers replace and remove them. The content is
//! read once more, mostly from the kernel's cache.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::fd::OwnedFd;

use pod::path::RelativePath;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, mkdirat, openat, readlinkat, statat};

use super::super::directories::Last;
use super::super::metadata::{self, Modes};
use super::super::open_directory;
use super::layer::{Frame, FrameFile};
use super::links::Links;
use super::resolve::join;
use super::tree::Tree;
use crate::fault::{Fault, Result, Within as _, check, ensure, refuse};
use crate::record::{self, Object, ObjectKind, Sealed, Writer};
use archive::{DeviceKind, Metadata};
use sys::Interrupt;

/// The mode of the frame's files.
const FILE_MODE: u32 = 0o644;
const BUFFER: usize = 256 << 10;

/// Makes the frame in the empty directory `root`, and returns the directory that the layers go into.
pub(super) fn begin(root: &OwnedFd, frame: &Frame, modes: Modes) -> Result<OwnedFd> {
    for FrameFile { name, content } in &frame.files {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let about = || format!("cannot write {name}");
        let made = openat(root, name.as_str(), flags, Mode::from_raw_mode(FILE_MODE)).within(about)?;
        let mut made = File::from(made);
        io::copy(&mut content.extent(), &mut made).within(about)?;
        metadata::set_file(&made, &Metadata { mode: FILE_MODE, ..Metadata::default() }, modes)?;
    }
    mkdirat(root, frame.directory.as_str(), Mode::RWXU)
        .within(|| format!("cannot create {}", frame.directory))?;
    open_directory(root, &RelativePath::from_bytes(frame.directory.as_bytes())?, OFlags::RDONLY)
}

impl Tree {
    /// Sets the metadata that the directories still lack, and writes the record. At most `memory` bytes are kept about
    /// objects with several names.
    pub(super) fn finish(
        self,
        record: Writer<impl Write>,
        root: &OwnedFd,
        frame: &Frame,
        memory: usize,
        interrupt: &Interrupt,
    ) -> Result<Sealed> {
        let inside = RelativePath::from_bytes(frame.directory.as_bytes())?;
        let mut listing = Listing { record, links: Links::new(memory), buffer: vec![0; BUFFER] };
        for FrameFile { name, .. } in &frame.files {
            let name =
                std::ffi::CString::new(name.as_str()).map_err(|_| Fault::content("a name with a NUL"))?;
            listing.add(root, &name, &RelativePath::default())?;
        }
        for path in self.directories.iter() {
            let directory = open_directory(&self.root, path, OFlags::RDONLY)?;
            let recorded = join(&inside, path.as_bytes())?;
            listing.directory(&directory, &recorded, interrupt).within(|| format!("directory {path}"))?;
        }
        for (path, last) in self.directories.into_deepest_first() {
            let about = || format!("directory {path}");
            let directory = open_directory(&self.root, &path, OFlags::RDONLY).within(about)?;
            let metadata = metadata::finish_directory(&directory, &last).within(about)?;
            let path = join(&inside, path.as_bytes())?;
            listing.record.add(&Object { path, kind: ObjectKind::Directory, metadata })?;
        }
        let unnamed =
            Last { is_named: false, mtime: Default::default(), has_set_group_id: false, default_acl: None };
        let metadata = metadata::finish_directory(root, &unnamed)?;
        let path = RelativePath::default();
        listing.record.add(&Object { path, kind: ObjectKind::Directory, metadata })?;
        listing.record.finish()
    }
}

/// A record being written from the objects that are there.
struct Listing<W> {
    record: Writer<W>,
    links: Links,
    buffer: Vec<u8>,
}

impl<W: Write> Listing<W> {
    /// Adds the objects in a directory, without the directories in it.
    fn directory(&mut self, directory: &OwnedFd, path: &RelativePath, interrupt: &Interrupt) -> Result<()> {
        for entry in Dir::read_from(directory).within(|| "cannot list it")? {
            check(interrupt)?;
            let entry = entry.within(|| "cannot list it")?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..")
                && entry.file_type() != FileType::Directory
            {
                self.add(directory, entry.file_name(), path)?;
            }
        }
        Ok(())
    }

    /// Adds the object `name` in `parent`, unless it is a directory.
    fn add(&mut self, parent: &OwnedFd, name: &CStr, parent_path: &RelativePath) -> Result<()> {
        let path = join(parent_path, name.to_bytes())?;
        let about = || format!("object {path}");
        let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).within(about)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Ok(());
        }
        if let Some(target) = self.links.first_name(&path, &stat)? {
            let kind = ObjectKind::HardLink { target };
            return self.record.add(&Object { path, kind, metadata: Metadata::default() });
        }
        let (kind, metadata) = self.object(parent, name, &stat).within(about)?;
        self.record.add(&Object { path, kind, metadata })
    }

    fn object(&mut self, parent: &OwnedFd, name: &CStr, stat: &Stat) -> Result<(ObjectKind, Metadata)> {
        let metadata = record::of_stat(stat);
        let device = |kind| {
            let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
            (ObjectKind::Device { kind, major, minor }, record::of_stat(stat))
        };
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.file(parent, name)?,
            FileType::Symlink => {
                let target = readlinkat(parent, name, Vec::new()).within(|| "cannot read the link")?;
                (ObjectKind::Symlink { target: target.into_bytes() }, metadata)
            }
            FileType::Fifo => (ObjectKind::Fifo, metadata),
            FileType::CharacterDevice => device(DeviceKind::Character),
            FileType::BlockDevice => device(DeviceKind::Block),
            other => refuse!("is a {other:?}: expected what a layer can have"),
        })
    }

    fn file(&mut self, parent: &OwnedFd, name: &CStr) -> Result<(ObjectKind, Metadata)> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = File::from(openat(parent, name, flags, Mode::empty()).within(|| "cannot open it")?);
        let (mut hasher, mut size) = (blake3::Hasher::new(), 0);
        loop {
            match file.read(&mut self.buffer).within(|| "cannot read it")? {
                0 => break,
                count => {
                    hasher.update(&self.buffer[..count]);
                    size += count as u64;
                }
            }
        }
        let metadata = record::found(&file)?;
        ensure!(size == file.metadata()?.len(), "was changed meanwhile: expected it to stay");
        Ok((ObjectKind::File { size, content: hasher.finalize() }, metadata))
    }
}
