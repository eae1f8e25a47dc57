// SPDX-License-Identifier: Apache-2.0
//! An OCI layout that is a directory (OCI image spec, image-layout.md).
//!
//! Invariant: files are looked up below the directory's descriptor as if it were `/`, so no link leads out. Only regular
//! files are opened.

use std::os::fd::OwnedFd;
use std::path::Path;

use archive::layer::Part;
use pod::path::RelativePath;
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use sys::in_root::reopen;
use sys::open_in_root;

use super::contents::{Files, unreadable};
use crate::oci::error::Error;

/// An OCI layout's directory.
#[derive(Debug)]
pub struct Layout {
    directory: OwnedFd,
    shown: String,
}

impl Layout {
    /// Opens a directory.
    ///
    /// # Errors
    /// If it can't be opened, or is no directory.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let shown = pod::text::escape(&path.to_string_lossy());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match open(path, flags, Mode::empty()) {
            Ok(directory) => Ok(Self { directory, shown }),
            Err(error) => Err(unreadable(&shown, error.into())),
        }
    }
}

impl Files for Layout {
    fn shown(&self) -> &str {
        &self.shown
    }

    fn find(&self, name: &RelativePath) -> Result<Option<Part>, Error> {
        use rustix::io::Errno;
        let about = |error: std::io::Error| unreadable(&format!("{name} in {}", self.shown), error);
        let found = match open_in_root(&self.directory, name.as_path(), OFlags::PATH, Mode::empty()) {
            Err(error) if matches!(error.errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                return Ok(None);
            }
            found => found.map_err(|error| about(error.into()))?,
        };
        let stat = fstat(&found).map_err(|error| about(error.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let file = reopen(&found).map_err(about)?;
        let length = file.metadata().map_err(about)?.len();
        Ok(Some(Part::first(file, length)))
    }
}
