// SPDX-License-Identifier: Apache-2.0
//! Signatures of an image, which stand in its repository at a tag that is made of the manifest's digest.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::manifest::Manifest;
use super::pull::Pull;
use crate::error::Error;
use crate::policy::Signatures;
use crate::reference::{Reference, Tag, Version};
use crate::signature::{ANNOTATION, PAYLOAD, Signature, check_all};
use pod::blob::BlobDigest;

/// The maximum number of signatures that are checked. Each costs a request.
const MOST: usize = 64;
/// The largest payload.
const LARGEST: u64 = 1 << 20;

/// The parts of a signatures' manifest that are needed.
#[derive(Deserialize)]
struct Document {
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// A repository of a registry, in which an image has its signatures. Another process may ask it.
pub trait Repository {
    /// Returns the image.
    fn reference(&self) -> &Reference;

    /// Fetches a document.
    ///
    /// # Errors
    /// Fails if no endpoint has it.
    fn manifest_at(&self, version: &Version) -> Result<Manifest, Error>;

    /// Fetches a small blob.
    ///
    /// # Errors
    /// Fails if no endpoint has it.
    fn small_blob(&self, digest: BlobDigest, size: u64) -> Result<Vec<u8>, Error>;
}

impl Repository for Pull<'_> {
    fn reference(&self) -> &Reference {
        &self.reference
    }

    fn manifest_at(&self, version: &Version) -> Result<Manifest, Error> {
        self.manifest_at(version)
    }

    fn small_blob(&self, digest: BlobDigest, size: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.blob(digest, size, &mut bytes)?;
        Ok(bytes)
    }
}

impl Pull<'_> {
    /// Checks the image's signatures: see [`verify`].
    ///
    /// # Errors
    /// As [`verify`].
    pub fn verify(&self, required: &Signatures, manifests: &[BlobDigest]) -> Result<(), Error> {
        verify(self, required, manifests)
    }
}

/// Checks that an image has the signatures that the policy asks for. `manifests` are the manifest that is used and, if an
/// index names it by its digest, the index: a signature of either is one of the image.
///
/// # Errors
/// Fails with [`Error::Rejected`] if a signature is missing or wrong, and like other fetches.
pub fn verify(
    repository: &impl Repository,
    required: &Signatures,
    manifests: &[BlobDigest],
) -> Result<(), Error> {
    let mut all = Vec::new();
    // Without an index, the same manifest is named twice.
    for manifest in BTreeSet::from_iter(manifests) {
        all.extend(signatures(repository, required, *manifest)?);
    }
    let reference = repository.reference();
    let checked = check_all(&all, &required.all, reference, manifests);
    checked.map_err(|reason| required.refuse(&reference.to_string(), reason))
}

/// Fetches the signatures of one manifest.
fn signatures(
    repository: &impl Repository,
    required: &Signatures,
    manifest: BlobDigest,
) -> Result<Vec<Signature>, Error> {
    let tag = format!("{}-{}.sig", manifest.algorithm(), manifest.hex());
    // A tag can't be as long as a SHA-512 digest: such a manifest has no signatures.
    let Ok(tag) = tag.parse::<Tag>() else { return Ok(Vec::new()) };
    let document = match repository.manifest_at(&Version::Tag(tag)) {
        Err(error) if error.is_missing() => return Ok(Vec::new()),
        other => other?,
    };
    let refuse = |reason: &str| required.refuse(&repository.reference().to_string(), reason.to_owned());
    let document: Document = serde_json::from_slice(&document.bytes)
        .map_err(|_| refuse("the manifest of its signatures is none"))?;
    let layers = document.layers.into_iter().filter(|layer| layer.media_type == PAYLOAD).take(MOST);
    layers.map(|layer| signature(repository, &layer, &refuse)).collect()
}

fn signature(
    repository: &impl Repository,
    layer: &Layer,
    refuse: &dyn Fn(&str) -> Error,
) -> Result<Signature, Error> {
    let signature = layer.annotations.get(ANNOTATION).cloned().unwrap_or_default();
    let digest = layer.digest.parse().map_err(|_| Error::Digest { text: layer.digest.clone() })?;
    if layer.size > LARGEST {
        return Err(refuse("a signature has a payload of more than 1 MiB"));
    }
    Ok(Signature { payload: repository.small_blob(digest, layer.size)?, signature })
}
