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
mod docker;
mod layout;
mod oci;
mod spool;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use archive::layer::{Blob, BlobDigest, Extent};
use pod::path::RelativePath;

use super::config::Config;
use super::document::check_length;
use super::error::Error;
use super::platform::Platform;

pub use archive_file::{Archive, Content, recognise};
pub use layout::Layout;
pub use spool::spool;

/// An image that can be unpacked: its configuration, and where its layers are.
#[derive(Clone, Debug)]
pub struct OciImage {
    /// The image's id: the digest of its configuration.
    pub id: BlobDigest,
    /// The digest of its manifest. An archive of `docker save` has none.
    pub manifest: Option<BlobDigest>,
    /// The digests of the indices that led to the manifest, the outermost first.
    pub indices: Vec<BlobDigest>,
    /// What the source calls it.
    pub names: Vec<String>,
    /// The configuration.
    pub config: Config,
    /// The configuration's bytes, which have the digest `id`.
    pub config_bytes: Vec<u8>,
    /// The layers, the lowest first.
    pub layers: Vec<ImageLayer>,
}

/// A layer, and where its bytes are.
#[derive(Clone, Debug)]
pub struct ImageLayer {
    /// Its media type, as the manifest has it. Its compression is told by its content.
    pub media_type: Option<String>,
    /// The digest of its bytes. An archive of `docker save` states none.
    pub digest: Option<BlobDigest>,
    /// The digest of the tar inside of them.
    pub diff_id: BlobDigest,
    /// Where its bytes are.
    pub part: Part,
}

/// A part of a file.
#[derive(Clone, Debug)]
pub struct Part {
    /// The file.
    pub file: Arc<File>,
    /// The offset of the part's first byte.
    pub offset: u64,
    /// The part's length in bytes.
    pub length: u64,
}

impl Part {
    /// Reads all of it, if it is no longer than a document may be.
    fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        check_length(name, self.length)?;
        let mut bytes = Vec::new();
        let mut extent = Extent::new(self.file.as_ref(), self.offset, self.length);
        extent.read_to_end(&mut bytes).map_err(|error| unreadable(name, error))?;
        Ok(bytes)
    }

    /// Reads all of it, which must have this digest and size.
    fn read_verified(&self, name: &str, digest: BlobDigest, size: u64) -> Result<Vec<u8>, Error> {
        check_length(name, size)?;
        let extent = Extent::new(self.file.as_ref(), self.offset, self.length);
        let mut bytes = Vec::new();
        Blob::new(extent, digest, size).read_to_end(&mut bytes).map_err(|error| unreadable(name, error))?;
        Ok(bytes)
    }
}

fn unreadable(name: &str, error: io::Error) -> Error {
    Error::Read { what: name.to_owned(), error }
}

/// Files by name: a layout's directory, or an archive's members.
trait Files {
    /// Returns what messages call the source.
    fn shown(&self) -> &str;

    /// Finds a regular file; `None` if there is none of this name, or none inside of the source.
    fn find(&self, name: &RelativePath) -> Result<Option<Part>, Error>;

    /// Finds the file of a fixed name.
    fn find_named(&self, name: &str) -> Result<Option<Part>, Error> {
        let path = RelativePath::from_bytes(name.as_bytes());
        path.map_or(Ok(None), |path| self.find(&path))
    }

    /// Reads a document of a fixed name.
    fn document(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let shown = format!("{name} of {}", self.shown());
        self.find_named(name)?.map(|part| part.read(&shown)).transpose()
    }
}

/// A source of either form.
#[derive(Debug)]
pub enum Source {
    /// An OCI layout.
    Layout(Layout),
    /// An archive.
    Archive(Archive),
}

/// Which of its indices a source is read by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `index.json`.
    Oci,
    /// `manifest.json`.
    DockerSave,
    /// `index.json` if it lists an image, else `manifest.json`: an archive may have both.
    Either,
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
