// SPDX-License-Identifier: Apache-2.0
//! What is in a source: files by name, parts of files, and images that are made of them.

use std::io::{self, Read as _};

use archive::layer::{Blob, Part};
use pod::blob::BlobDigest;
use pod::path::RelativePath;

use crate::oci::config::Config;
use crate::oci::document::check_length;
use crate::oci::error::Error;

/// The index by which a source is read, of the two that it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `index.json`.
    Oci,
    /// `manifest.json`.
    DockerSave,
    /// `index.json` if it lists an image, else `manifest.json`: an archive may have both.
    Either,
}

/// An image that can be unpacked: its configuration, and where its layers are.
#[derive(Clone, Debug)]
pub struct OciImage {
    /// The image's id: the digest of its configuration.
    pub id: BlobDigest,
    /// The digest of its manifest. An archive of `docker save` has none.
    pub manifest: Option<BlobDigest>,
    /// The digests of the indices that led to the manifest, the outermost first.
    pub indices: Vec<BlobDigest>,
    /// The names that the source gives it.
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
    /// The file, and the range in it, with its bytes.
    pub part: Part,
}

/// Reads all of a part, if it is no longer than a document may be.
pub(super) fn read(part: &Part, name: &str) -> Result<Vec<u8>, Error> {
    check_length(name, part.length)?;
    let mut bytes = Vec::new();
    part.extent().read_to_end(&mut bytes).map_err(|error| unreadable(name, error))?;
    Ok(bytes)
}

/// Reads all of a part, which must have this digest and size.
pub(super) fn read_verified(
    part: &Part,
    name: &str,
    digest: BlobDigest,
    size: u64,
) -> Result<Vec<u8>, Error> {
    check_length(name, size)?;
    let mut bytes = Vec::new();
    let mut blob = Blob::new(part.extent(), digest, size);
    blob.read_to_end(&mut bytes).map_err(|error| unreadable(name, error))?;
    Ok(bytes)
}

pub(super) fn unreadable(name: &str, error: io::Error) -> Error {
    Error::Read { what: name.to_owned(), error }
}

/// Files by name: a layout's directory, or an archive's members.
pub(super) trait Files {
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
        self.find_named(name)?.map(|part| read(&part, &shown)).transpose()
    }
}
