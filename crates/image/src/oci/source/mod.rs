// SPDX-License-Identifier: Apache-2.0
//! Sources: directories and archives that hold OCI images, opened once and read through descriptors.
//!
//! | | index | blobs |
//! |---|---|---|
//! | OCI layout, a directory (`oci:`) | `index.json` | `blobs/ALGORITHM/HEX` |
//! | OCI layout in a tar (`oci-archive:`) | the same, often last | members of the tar |
//! | `docker save` (`docker-archive:`) | `manifest.json`, often last | members of the tar, by name |
//!
//! Invariant: what a source says about itself only leads to bytes; which image they are is told by digests. A name in a
//! source leads to a file inside of it or to nothing, whatever links it goes through.

mod archive_file;
mod contents;
mod docker;
mod layout;
mod oci;

use std::path::Path;

use super::error::Error;
use super::platform::Platform;
use contents::{Files, unreadable};

pub use archive_file::{Archive, Content, recognise, starts_as_aci};
pub use contents::{Form, ImageLayer, OciImage};
pub use layout::Layout;

/// A source of either form.
#[derive(Debug)]
pub enum Source {
    /// An OCI layout.
    Layout(Layout),
    /// An archive.
    Archive(Archive),
}

impl Source {
    /// Opens a directory as a layout, or a file as an archive.
    ///
    /// # Errors
    /// If it can't be opened or is neither; [`Error::Compressed`] if it is a compressed archive.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let shown = pod::text::escape(&path.to_string_lossy());
        let metadata = std::fs::metadata(path).map_err(|error| unreadable(&shown, error))?;
        if metadata.is_dir() {
            return Layout::open(path).map(Self::Layout);
        }
        Archive::open_path(path).map(Self::Archive)
    }

    /// Finds the image `name`, or the only one, for a platform.
    ///
    /// # Errors
    /// If there is no such image, or several and none is named, or a document is refused.
    pub fn image(&self, form: Form, name: Option<&str>, platform: &Platform) -> Result<OciImage, Error> {
        match self {
            Self::Layout(layout) => image(layout, form, name, platform),
            Self::Archive(archive) => image(archive, form, name, platform),
        }
    }
}

fn image(files: &impl Files, form: Form, name: Option<&str>, platform: &Platform) -> Result<OciImage, Error> {
    let form = match form {
        Form::Either => oci::form(files)?,
        form => form,
    };
    match form {
        Form::DockerSave => docker::image(files, name),
        Form::Oci | Form::Either => oci::image(files, name, platform),
    }
}

#[cfg(test)]
mod tests;
