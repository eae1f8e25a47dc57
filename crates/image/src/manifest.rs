// SPDX-License-Identifier: Apache-2.0
//! Reads the manifest in an image's tree.

use pod::layout;
use pod::manifest::ImageManifest;
use pod::text::escape;
use store::OwnName;
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

/// Reads the name that an image has given itself, and its labels.
///
/// # Errors
/// As [`manifest`].
pub fn name(tree: &InRoot) -> Result<OwnName, Fault> {
    let ImageManifest { name, labels, .. } = manifest(tree)?;
    Ok(OwnName { name, labels })
}

/// Returns what an image asks for that this version does not know, a line each. A pod of it would be refused.
///
/// # Errors
/// As [`manifest`].
pub fn unknown(tree: &InRoot) -> Result<Vec<String>, Fault> {
    let manifest = manifest(tree)?;
    let of_app = manifest.app.as_ref().and_then(|app| app.annotations.unknown.as_ref());
    let all = of_app.into_iter().chain(&manifest.annotations.unknown);
    let line = |name: &String| format!("annotation {} is not known: no pod can be made of it", escape(name));
    Ok(all.map(line).collect())
}
