// SPDX-License-Identifier: Apache-2.0
//! The frame around the layers, and the record of the whole tree, read from the tree itself: a record is not written as
//! objects are made, as for one archive, since later layers replace and remove them.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use pod::path::RelativePath;
use rustix::fs::{Mode, OFlags, mkdirat, openat};

use super::super::directories::Last;
use super::super::listing::Listing;
use super::super::metadata::{self, Modes};
use super::super::open_directory;
use super::layer::{Frame, FrameFile};
use super::tree::Tree;
use crate::extract::listing::join;
use crate::fault::{Fault, Result, Within as _};
use crate::record::{Object, ObjectKind, Sealed, Writer};
use archive::Metadata;
use sys::Interrupt;

/// The mode of the frame's files.
const FILE_MODE: u32 = 0o644;

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
        mut self,
        record: Writer<impl Write>,
        root: &OwnedFd,
        frame: &Frame,
        memory: usize,
        interrupt: &Interrupt,
    ) -> Result<Sealed> {
        self.make_waiting()?;
        let inside = RelativePath::from_bytes(frame.directory.as_bytes())?;
        let mut listing = Listing::new(record, memory);
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
