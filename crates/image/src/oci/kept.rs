// SPDX-License-Identifier: Apache-2.0
//! Reads images from the blobs that the store keeps of them, byte for byte as they were pulled.

use std::io::Read as _;

use archive::layer::Part;
use pod::id::TreeId;
use store::blobs::Blobs;
use store::fault::Fault;
use store::names::{BlobKind, KeptBlob, NamedImage, Names};
use store::{DataDir, Layered};

use super::descriptor::Descriptor;
use super::document::{Document, check_length};
use super::error::Error;
use super::failure::Result;
use super::import::layered;
use super::select::Selected;
use super::source::OciImage;

/// Returns an image as the store imports it, made of the blobs that are kept of it; `None` if not all are kept. A damaged
/// document is not kept.
///
/// # Errors
/// If a blob can't be read, or the names of images can't be understood.
pub fn layered_of(data_dir: &DataDir, id: TreeId) -> Result<Option<Layered>, Fault> {
    try_layered_of(data_dir, id).map_err(Fault::content)
}

fn try_layered_of(data_dir: &DataDir, id: TreeId) -> Result<Option<Layered>> {
    let names = Names::read(data_dir)?;
    let Some(named) = names.of(id) else { return Ok(None) };
    kept(&Blobs::open(data_dir)?, named)?.map(|image| layered(&image)).transpose()
}

/// Returns an image made of its kept blobs; `None` if not all are kept.
///
/// # Errors
/// As [`layered_of`].
pub fn kept(blobs: &Blobs<'_>, named: &NamedImage) -> Result<Option<OciImage>> {
    if named.blobs.is_empty() || !blobs.has_all(&named.blobs)? {
        return Ok(None);
    }
    let of_kind = |kind| named.blobs.iter().find(move |blob| blob.kind == kind);
    let (Some(manifest), Some(config)) = (of_kind(BlobKind::Manifest), of_kind(BlobKind::Config)) else {
        let why = "no manifest or no configuration: expected both";
        return Err(Error::invalid("the names of images", why).into());
    };
    let (Some(document), Some(config)) = (read(blobs, manifest)?, read(blobs, config)?) else {
        return Ok(None);
    };
    let name = format!("manifest {}", manifest.digest);
    let parsed = Document::parse(&name, &document, manifest.media_type.as_deref())?;
    let Document::Manifest(parsed) = parsed else {
        return Err(Error::invalid(&name, "an index: expected a manifest").into());
    };
    let indices = named.blobs.iter().filter(|blob| blob.kind == BlobKind::Index);
    let indices = indices.map(|blob| blob.digest).collect();
    let selected = Selected { manifest: *parsed, digest: manifest.digest, indices };
    let part = |layer: &Descriptor| {
        let what = || format!("blob {}", layer.digest);
        let found = blobs.find(layer.digest, layer.size);
        let found = found.map_err(|error| Error::Invalid { document: what(), why: error.to_string() })?;
        let missing = || Error::Invalid { document: what(), why: "is missing: expected it".into() };
        Ok(Part::first(found.ok_or_else(missing)?, layer.size))
    };
    let names = named.names.iter().cloned().collect();
    Ok(Some(OciImage::assemble(selected, config, names, part)?))
}

/// Reads a document that is kept; `None` if it was damaged.
fn read(blobs: &Blobs<'_>, blob: &KeptBlob) -> Result<Option<Vec<u8>>> {
    check_length(&format!("blob {}", blob.digest), blob.size)?;
    let Some(mut file) = blobs.find_intact(blob.digest, blob.size)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
