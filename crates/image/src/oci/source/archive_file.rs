// SPDX-License-Identifier: Apache-2.0
//! Archives that hold images: a tar whose headers are read once, and whose members are read by their offsets.
//!
//! A compressed archive is not read here: only the worker decodes. [`Error::Compressed`] is where it comes in: the caller
//! has it decompress the file into another one, which [`Archive::open`] takes.

use std::fs::{File, OpenOptions};
use std::io::Seek as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use archive::decode::Format;
use archive::layer::Part;
use archive::members::{Members, Place};
use pod::path::RelativePath;
use rustix::fs::OFlags;

use super::contents::{Files, unreadable};
use crate::oci::error::Error;

/// The number of bytes by which an archive is recognised.
const HEAD: usize = 512;

/// An archive that holds images.
#[derive(Debug)]
pub struct Archive {
    file: Arc<File>,
    members: Members,
    shown: String,
}

/// The format of a file, told from its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// An app container image: a `manifest` and a `rootfs`.
    Aci,
    /// OCI images.
    Oci,
    /// Images as `docker save` writes them.
    DockerSave,
    /// An archive of something that only the worker can find out.
    Compressed,
    /// Anything else.
    Other,
}

/// Tells what a file holds. Its position is at its start afterwards.
///
/// # Errors
/// If it can't be read.
pub fn recognise(file: &File) -> std::io::Result<Content> {
    match format(file)? {
        None => return Ok(Content::Other),
        Some(Format::Plain) => {}
        Some(_) => return Ok(Content::Compressed),
    }
    let found = by_members(file);
    (&*file).rewind()?;
    Ok(found)
}

/// Tells by its first entry whether a tar, of which there may be the start alone, is an app container image.
#[must_use]
pub fn starts_as_aci(file: &File) -> bool {
    let is_aci = |name: &RelativePath| matches!(name.components().next(), Some(b"manifest" | b"rootfs"));
    Members::first(file).is_ok_and(|name| name.as_ref().is_some_and(is_aci))
}

/// Tells what an uncompressed tar holds.
fn by_members(file: &File) -> Content {
    if starts_as_aci(file) {
        return Content::Aci;
    }
    let Ok(members) = Members::read(file) else { return Content::Other };
    let has = |name: &str| {
        RelativePath::from_bytes(name.as_bytes()).is_ok_and(|name| members.find(&name).is_some())
    };
    match (has("index.json"), has("manifest.json")) {
        (true, _) if has("oci-layout") => Content::Oci,
        (_, true) => Content::DockerSave,
        _ if has("manifest") => Content::Aci,
        _ => Content::Other,
    }
}

fn format(file: &File) -> std::io::Result<Option<Format>> {
    let (mut head, mut filled) = ([0; HEAD], 0);
    while filled < HEAD {
        match file.read_at(&mut head[filled..], filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(Format::detect(&head[..filled]))
}

impl Archive {
    /// Opens a regular file.
    ///
    /// # Errors
    /// As [`Self::open`]; if it can't be opened, or is no regular file.
    pub fn open_path(path: &Path) -> Result<Self, Error> {
        let shown = pod::text::escape(&path.to_string_lossy());
        let about = |error| unreadable(&shown, error);
        // O_NONBLOCK: opening a FIFO must not wait for its writer.
        let flags = OFlags::NONBLOCK.bits().try_into().unwrap_or_default();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(about)?;
        if !file.metadata().map_err(about)?.is_file() {
            return Err(Error::NoSource { file: shown, expected: "a regular file or a directory" });
        }
        Self::open(file, shown)
    }

    /// Reads the headers of a tar. `shown` is what messages call it.
    ///
    /// # Errors
    /// If it is no tar, or a compressed one, or can't be read.
    pub fn open(file: File, shown: String) -> Result<Self, Error> {
        match format(&file).map_err(|error| unreadable(&shown, error))? {
            None => return Err(Error::NoSource { file: shown, expected: "an archive of images" }),
            Some(Format::Plain) => {}
            Some(_) => return Err(Error::Compressed { file: shown }),
        }
        match Members::read(&file) {
            Ok(members) => Ok(Self { file: Arc::new(file), members, shown }),
            Err(error) => Err(Error::Invalid { document: shown, why: format!("{error:#}") }),
        }
    }
}

impl Files for Archive {
    fn shown(&self) -> &str {
        &self.shown
    }

    fn find(&self, name: &RelativePath) -> Result<Option<Part>, Error> {
        let part = |Place { offset, size }| Part { file: Arc::clone(&self.file), offset, length: size };
        Ok(self.members.find(name).map(part))
    }
}
