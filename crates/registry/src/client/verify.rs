// SPDX-License-Identifier: Apache-2.0
//! Signatures of an image, which stand in its repository at a tag that is made of the manifest's digest.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::pull::Pull;
use crate::error::{Error, Failure};
use crate::policy::Signatures;
use crate::reference::{Tag, Version};
use crate::signature::{ANNOTATION, PAYLOAD, Signature, check_all};
use pod::blob::BlobDigest;

/// The maximum number of signatures that are checked. Each costs a request.
const MOST: usize = 64;
/// The largest payload.
const LARGEST: u64 = 1 << 20;

/// What of a signatures' manifest is needed.
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

impl Pull<'_> {
    /// Checks that the image has the signatures that the policy asks for. `manifests` are the manifest that is used
    /// and, if an index names it by its digest, the index: a signature of either is one of the image.
    ///
    /// # Errors
    /// Fails with [`Error::Rejected`] if a signature is missing or wrong, and like other fetches.
    pub fn verify(&self, required: &Signatures, manifests: &[BlobDigest]) -> Result<(), Error> {
        let mut signatures = Vec::new();
        // Without an index, the same manifest is named twice.
        for manifest in BTreeSet::from_iter(manifests) {
            signatures.extend(self.signatures(required, *manifest)?);
        }
        let checked = check_all(&signatures, &required.all, &self.reference, manifests);
        checked.map_err(|reason| required.refuse(&self.reference.to_string(), reason))
    }

    /// Fetches the signatures of one manifest.
    fn signatures(&self, required: &Signatures, manifest: BlobDigest) -> Result<Vec<Signature>, Error> {
        let tag = format!("{}-{}.sig", manifest.algorithm(), manifest.hex());
        // A tag can't be as long as a SHA-512 digest: such a manifest has no signatures.
        let Ok(tag) = tag.parse::<Tag>() else { return Ok(Vec::new()) };
        let document = match self.manifest_at(&Version::Tag(tag)) {
            Err(Error::Unavailable { attempts, .. })
                if attempts.iter().all(|attempt| matches!(attempt.failure, Failure::NotFound(_))) =>
            {
                return Ok(Vec::new());
            }
            other => other?,
        };
        let refuse = |reason: &str| required.refuse(&self.reference.to_string(), reason.to_owned());
        let document: Document = serde_json::from_slice(&document.bytes)
            .map_err(|_| refuse("the manifest of its signatures is none"))?;
        let layers = document.layers.into_iter().filter(|layer| layer.media_type == PAYLOAD).take(MOST);
        layers.map(|layer| self.signature(&layer, &refuse)).collect()
    }

    fn signature(&self, layer: &Layer, refuse: &dyn Fn(&str) -> Error) -> Result<Signature, Error> {
        let signature = layer.annotations.get(ANNOTATION).cloned().unwrap_or_default();
        let digest = layer.digest.parse().map_err(|_| Error::Digest { text: layer.digest.clone() })?;
        if layer.size > LARGEST {
            return Err(refuse("a signature has a payload of more than 1 MiB"));
        }
        let mut payload = Vec::new();
        self.blob(digest, layer.size, &mut payload)?;
        Ok(Signature { payload, signature })
    }
}
