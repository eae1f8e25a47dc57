// SPDX-License-Identifier: Apache-2.0
//! Reads the manifest in an image's tree.

use pod::layout;
use pod::manifest::ImageManifest;
use pod::name::Identifier;
use store::fault::Fault;
use sys::in_root::InRoot;

/// The maximum length of a manifest; `/init` has the same.
pub const MANIFEST_MAX: u64 = 4 << 20;

/// Reads the manifest in an image's tree.
///
/// # Errors
/// If it can't be read, or is not a valid manifest.
pub fn manifest(tree: &InRoot) -> Result<ImageManifest, Fault> {
    ImageManifest::parse(&bytes(tree)?).map_err(|error| Fault::from(error).at("manifest"))
}

pub(crate) fn bytes(tree: &InRoot) -> Result<Vec<u8>, Fault> {
    let text = tree.read_file(layout::IMAGE_MANIFEST, MANIFEST_MAX);
    text.map_err(|error| Fault::from(error).at("cannot read the manifest"))
}

/// Reads the name that an image has given itself.
///
/// # Errors
/// As [`manifest`].
pub fn name(tree: &InRoot) -> Result<Identifier, Fault> {
    Ok(manifest(tree)?.name)
}
