// SPDX-License-Identifier: Apache-2.0
//! Turns an image as it was typed into what the store imports: its layers, and the frame around them.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use archive::layer::Part;
use pod::blob::BlobDigest;
use pod::id::{ImageId, TreeId};
use pod::layout;
use store::Layered;
use store::extract::layers::{Frame, FrameFile, Layer};
use sys::in_root::{InRoot, is_missing};

use super::app::{directories, image_manifest};
use super::config::Config;
use super::document::DOCUMENT_MAX;
use super::error::Error;
use super::failure::Result;
use super::platform::Platform;
use super::reference::ImageRef;
use super::source::{Archive, Content, Form, ImageLayer, Layout, OciImage, Source};

/// The file of an image's configuration in its tree, beside the manifest that was made from it.
pub const CONFIG: &str = "config";

/// Opens an image in a directory or file of a form that is said.
///
/// # Errors
/// If there is none, it is not of this form, or one of its documents is refused.
pub fn open(image: &ImageRef, platform: &Platform) -> Result<OciImage> {
    let (source, form, name) = match image {
        ImageRef::Oci { directory, image } => (Layout::open(directory).map(Source::Layout), Form::Oci, image),
        ImageRef::OciArchive { file, image } => (archive(file), Form::Oci, image),
        ImageRef::DockerArchive { file, image } => (archive(file), Form::DockerSave, image),
        other => return Err(Error::Elsewhere { image: other.to_string() }.into()),
    };
    Ok(source?.image(form, name.as_deref(), platform)?)
}

fn archive(file: &Path) -> Result<Source, Error> {
    Archive::open_path(file).map(Source::Archive)
}

/// Opens the only image in an OCI layout's directory.
///
/// # Errors
/// As [`open`].
pub fn open_directory(directory: &Path, platform: &Platform) -> Result<OciImage> {
    let found =
        Layout::open(directory).and_then(|layout| Source::Layout(layout).image(Form::Oci, None, platform));
    found.map_err(|error| match error {
        Error::NoSource { file, .. } => Error::NoLayout { directory: file }.into(),
        error => error.into(),
    })
}

/// Opens the only image in an archive, if the file is one of OCI images by its content, which was recognised. `shown` is
/// what messages call it.
///
/// # Errors
/// As [`open`].
pub fn open_file(
    file: &File,
    shown: String,
    content: Content,
    platform: &Platform,
) -> Result<Option<OciImage>> {
    let form = match content {
        Content::Oci => Form::Either,
        Content::DockerSave => Form::DockerSave,
        Content::Aci | Content::Compressed | Content::Other => return Ok(None),
    };
    let source = Archive::open(file.try_clone()?, shown).map(Source::Archive);
    Ok(Some(source?.image(form, None, platform)?))
}

/// Returns what a tree's image asks for that pods don't do, one line each; nothing for an image that is no OCI image.
///
/// # Errors
/// If the configuration in the tree can't be read.
pub fn not_honoured(tree: &InRoot) -> Result<Vec<String>> {
    let bytes = match tree.read_file(CONFIG, DOCUMENT_MAX) {
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        read => read?,
    };
    let config = Config::parse(CONFIG, &bytes)?.config;
    let checks =
        config.healthcheck.is_some_and(|check| check.test.first().is_some_and(|word| word != "NONE"));
    Ok(checks.then(|| "its health check is not run".to_owned()).into_iter().collect())
}

/// Returns the labels of a tree's image; `None` for an image that is no OCI image.
///
/// # Errors
/// If the configuration in the tree can't be read.
pub fn labels(tree: &InRoot) -> Result<Option<BTreeMap<String, String>>> {
    match tree.read_file(CONFIG, DOCUMENT_MAX) {
        Err(error) if is_missing(&error) => Ok(None),
        read => Ok(Some(Config::parse(CONFIG, &read?)?.config.labels)),
    }
}

/// Returns the platform of a tree's image; `None` for an image that is no OCI image.
///
/// # Errors
/// If the configuration in the tree can't be read.
pub fn platform_of(tree: &InRoot) -> Result<Option<Platform>> {
    match tree.read_file(CONFIG, DOCUMENT_MAX) {
        Err(error) if is_missing(&error) => Ok(None),
        read => Ok(Some(Config::parse(CONFIG, &read?)?.platform())),
    }
}

/// Returns the id of a tree's image that is a sha512; `None` for an image that is no OCI image.
///
/// # Errors
/// If the configuration in the tree can't be read.
pub fn sha512_of(tree: &InRoot) -> Result<Option<ImageId>> {
    match tree.read_file(CONFIG, DOCUMENT_MAX) {
        Err(error) if is_missing(&error) => Ok(None),
        read => Ok(Some(sha512(&read?))),
    }
}

/// Returns the id that is a sha512: of the configuration, as the other id.
fn sha512(config: &[u8]) -> ImageId {
    ImageId::of_tar(BlobDigest::Sha512([0; 64]).of_same_kind(config).into())
}

/// Returns the image as the store imports it. Its tree is called by the digest of its configuration.
///
/// # Errors
/// If the configuration asks for something that can't be had, or its digest is no sha256.
pub fn layered(image: &OciImage) -> Result<Layered> {
    let id = tree_id(image.id)?;
    let manifest = image_manifest(&image.config, image.id, &image.names)?;
    let files = vec![in_memory(layout::IMAGE_MANIFEST, &manifest)?, in_memory(CONFIG, &image.config_bytes)?];
    let made = directories(&image.config, image.id)?;
    let frame = Frame { directory: layout::IMAGE_ROOTFS.into(), files, made };
    let sha512 = sha512(&image.config_bytes);
    let layers = image.layers.iter().map(layer).collect();
    Ok(Layered { id, sha512, layers, arrival: None, frame })
}

/// Returns the id of the tree of the image whose configuration has this digest.
///
/// # Errors
/// If the digest is no sha256.
pub fn tree_id(config: BlobDigest) -> Result<TreeId> {
    match config {
        BlobDigest::Sha256(sha256) => Ok(TreeId::of_tar(sha256.into())),
        BlobDigest::Sha512(_) => {
            Err(Error::invalid(&format!("config {config}"), "expected to be called by its sha256").into())
        }
    }
}

fn layer(ImageLayer { digest, diff_id, part, .. }: &ImageLayer) -> Layer {
    Layer { part: part.clone(), blob: *digest, diff_id: *diff_id }
}

fn in_memory(name: &str, bytes: &[u8]) -> Result<FrameFile> {
    let file = sys::content::in_memory(name, bytes)?;
    Ok(FrameFile { name: name.into(), content: Part::first(file, bytes.len() as u64) })
}
