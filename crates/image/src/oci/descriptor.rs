// SPDX-License-Identifier: Apache-2.0
//! Descriptors: how documents name blobs and other documents (OCI image spec, descriptor.md).

use std::collections::BTreeMap;

use pod::blob::BlobDigest;
use serde::{Deserialize, Deserializer};

use super::media::MediaType;
use super::platform::Platform;

/// The annotation of what is beside an image, such as its attestation, with the image's digest.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// The name of a blob, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The blob's media type, as the document has it.
    pub media_type: String,
    /// The blob's digest.
    pub digest: BlobDigest,
    /// Its length in bytes.
    pub size: u64,
    /// The platform that an image runs on.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// The type of an artifact; images have none.
    #[serde(default)]
    pub artifact_type: Option<String>,
    /// Annotations.
    #[serde(default, deserialize_with = "or_null")]
    pub annotations: BTreeMap<String, String>,
    /// Other places that the blob can be had from.
    #[serde(default, deserialize_with = "or_null")]
    pub urls: Vec<String>,
}

impl Descriptor {
    /// Returns the descriptor of a document that has none, as it was asked for by its name.
    pub fn of_document(media_type: &str, digest: BlobDigest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
            artifact_type: None,
            annotations: BTreeMap::new(),
            urls: Vec::new(),
        }
    }

    /// Returns what its media type says.
    pub fn kind(&self) -> MediaType {
        MediaType::of(&self.media_type)
    }

    /// Tells whether it can lead to an image: it is a manifest or an index, and neither an attestation nor another
    /// artifact.
    pub fn may_be_an_image(&self) -> bool {
        self.kind().leads_to_an_image()
            && self.artifact_type.as_deref().is_none_or(str::is_empty)
            && !self.annotations.contains_key(REFERENCE_TYPE)
            && !self.platform.as_ref().is_some_and(Platform::is_unknown)
    }
}

/// Reads a field's value, or its default for null, which Go's encoder writes for an empty list or map.
pub(super) fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
