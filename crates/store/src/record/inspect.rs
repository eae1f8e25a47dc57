// SPDX-License-Identifier: Apache-2.0
//! Inspects objects of an untrusted tree without side effects.
//!
//! Invariant: an object is first opened with `O_PATH`, which has no effect on it. It is opened for reading only if that
//! shows a regular file or a directory.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;

use pod::path::RelativePath;
use pod::text::escape_bytes;
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};
use rustix::io::Errno;

use super::disk::{self, Attribute};
use super::object::ObjectKind;
use sys::xattrs::Named;
use sys::{Interrupt, open_beneath, proc_path};

const BUFFER: usize = 256 << 10;

/// An object opened with `O_PATH`, and its stat.
#[derive(Debug)]
pub(super) struct Opened {
    object: OwnedFd,
    pub(super) stat: Stat,
}

/// Opens the object at `path`, of whatever type, without side effects.
pub(super) fn open(root: &OwnedFd, path: &RelativePath) -> rustix::io::Result<Opened> {
    let object = open_beneath(root, path.as_path(), OFlags::PATH | OFlags::NOFOLLOW)?;
    let stat = fstat(&object)?;
    Ok(Opened { object, stat })
}

/// Opens a directory to list it.
pub(super) fn open_directory(root: &OwnedFd, path: &RelativePath) -> rustix::io::Result<OwnedFd> {
    Ok(open_beneath(root, path.as_path(), OFlags::RDONLY | OFlags::DIRECTORY)?)
}

impl Opened {
    /// Returns the digest of a regular file's content.
    pub(super) fn content(&self, interrupt: &Interrupt) -> io::Result<blake3::Hash> {
        let mut file = File::from(self.readable(OFlags::RDONLY)?);
        let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; BUFFER]);
        loop {
            interrupt.check()?;
            match file.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finalize()),
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the target of a symbolic link.
    pub(super) fn target(&self) -> rustix::io::Result<Vec<u8>> {
        readlinkat(&self.object, "", Vec::new()).map(std::ffi::CString::into_bytes)
    }

    /// Returns all attributes except those that the host sets itself.
    pub(super) fn xattrs(&self, kind: &ObjectKind) -> rustix::io::Result<Vec<Attribute>> {
        match kind {
            ObjectKind::File { .. } => disk::xattrs(self.readable(OFlags::RDONLY)?),
            ObjectKind::Directory => disk::xattrs(self.readable(OFlags::RDONLY | OFlags::DIRECTORY)?),
            _ => self.special_xattrs(),
        }
    }

    /// Opens for reading the same object that was opened before.
    fn readable(&self, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        // The path leads to the object itself, whatever its name is by now (proc_pid_fd(5)).
        openat(rustix::fs::CWD, proc_path(&self.object), flags, Mode::empty())
    }

    /// Returns the attributes of an object that can't be opened for reading. An image sets none on such an object.
    fn special_xattrs(&self) -> rustix::io::Result<Vec<Attribute>> {
        let named = Named::new(&self.object);
        disk::own(named.list()?, |name| named.get(name))
    }
}

/// Tells whether an error means that the file system has lost data.
pub(super) fn is_damage(error: Errno) -> bool {
    // File systems report corruption as EUCLEAN and EBADMSG (EFSCORRUPTED, EFSBADCRC).
    matches!(error, Errno::IO | Errno::UCLEAN | Errno::BADMSG | Errno::NODATA)
}

pub(super) fn file_type(kind: &ObjectKind) -> FileType {
    use archive::DeviceKind;
    match kind {
        ObjectKind::File { .. } | ObjectKind::HardLink { .. } => FileType::RegularFile,
        ObjectKind::Directory => FileType::Directory,
        ObjectKind::Symlink { .. } => FileType::Symlink,
        ObjectKind::Fifo => FileType::Fifo,
        ObjectKind::Device { kind: DeviceKind::Character, .. } => FileType::CharacterDevice,
        ObjectKind::Device { kind: DeviceKind::Block, .. } => FileType::BlockDevice,
    }
}

pub(super) fn name(kind: &ObjectKind) -> String {
    match kind {
        ObjectKind::HardLink { target } => format!("a hard link to {target}"),
        other => type_name(file_type(other)).to_owned(),
    }
}

pub(super) fn type_name(file_type: FileType) -> &'static str {
    match file_type {
        FileType::RegularFile => "a file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        FileType::BlockDevice => "a block device",
        FileType::Unknown => "an object",
    }
}

/// Formats attributes for a message.
pub(super) fn list(attributes: &[Attribute]) -> String {
    let each =
        attributes.iter().map(|(name, value)| format!("{}={}", escape_bytes(name), escape_bytes(value)));
    if attributes.is_empty() { "none".into() } else { each.collect::<Vec<_>>().join(", ") }
}
