// SPDX-License-Identifier: Apache-2.0
//! The record of a whole tree, read from the tree itself: for trees in which later entries have replaced what earlier
//! ones made. The content is read once more, mostly from the kernel's cache.

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read as _, Write};
use std::os::fd::OwnedFd;

use pod::path::RelativePath;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};

use super::links::Links;
use crate::fault::{Result, Within as _, check, ensure, refuse};
use crate::record::{self, Object, ObjectKind, Writer};
use archive::{DeviceKind, Metadata};
use sys::Interrupt;

const BUFFER: usize = 256 << 10;

/// Returns the path of `name` in the directory `parent`.
pub(super) fn join(parent: &RelativePath, name: &[u8]) -> Result<RelativePath> {
    Ok(RelativePath::from_bytes(&[parent.as_bytes(), name].join(&b'/'))?)
}

/// A record being written from the objects that are there.
pub(super) struct Listing<W> {
    pub(super) record: Writer<W>,
    links: Links,
    buffer: Vec<u8>,
}

impl<W: Write> Listing<W> {
    /// Starts a listing. At most `memory` bytes are kept about objects with several names.
    pub(super) fn new(record: Writer<W>, memory: usize) -> Self {
        Self { record, links: Links::new(memory), buffer: vec![0; BUFFER] }
    }

    /// Adds the objects in a directory, without the directories in it.
    pub(super) fn directory(
        &mut self,
        directory: &OwnedFd,
        path: &RelativePath,
        interrupt: &Interrupt,
    ) -> Result<()> {
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
    pub(super) fn add(&mut self, parent: &OwnedFd, name: &CStr, parent_path: &RelativePath) -> Result<()> {
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
