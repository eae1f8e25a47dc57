// SPDX-License-Identifier: Apache-2.0
//! Indices and manifests: the documents between an image's name and its blobs (OCI image spec, image-index.md,
//! manifest.md; Docker's "Image Manifest V 2, Schema 2").
//!
//! Invariant: a document is understood in one way only. Its media type, the one that it was announced with and its fields
//! agree; what could be an index to one reader and a manifest to another is refused (CVE-2021-41190).

use std::collections::BTreeMap;

use pod::text::escape;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::descriptor::{Descriptor, or_null};
use super::error::Error;
use super::media::{MediaType, bare};

/// The longest document that is read.
pub const DOCUMENT_MAX: u64 = 4 << 20;
/// The most layers of an image. Docker allows 127.
const LAYERS_MAX: usize = 1024;

/// An index or a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// A list of manifests.
    Index(Index),
    /// An image's manifest.
    Manifest(Box<Manifest>),
}

/// A list of manifests, of images for several platforms or with several names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// The manifests.
    pub manifests: Vec<Descriptor>,
}

/// An image's manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The image's configuration.
    pub config: Descriptor,
    /// The image's layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// A document as it is written. `Some(None)` is a field that is null.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default, deserialize_with = "present")]
    manifests: Option<Option<Vec<Descriptor>>>,
    #[serde(default, deserialize_with = "present")]
    config: Option<Option<Descriptor>>,
    #[serde(default, deserialize_with = "present")]
    layers: Option<Option<Vec<Descriptor>>>,
    #[serde(default)]
    fs_layers: Option<IgnoredAny>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default, deserialize_with = "or_null")]
    annotations: BTreeMap<String, String>,
}

/// The few fields that every version has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    #[serde(default)]
    schema_version: Option<u64>,
}

impl Document {
    /// Parses the document `name`. `announced` is the media type of its descriptor, or of a registry's answer.
    ///
    /// # Errors
    /// If it is too long, no document of an image, or ambiguous.
    pub fn parse(name: &str, bytes: &[u8], announced: Option<&str>) -> Result<Self, Error> {
        let invalid = |why: String| Error::invalid(name, why);
        check_length(name, bytes.len() as u64)?;
        let announced = announced.filter(|kind| MediaType::of(kind) != MediaType::Generic);
        if announced.is_some_and(|kind| MediaType::of(kind) == MediaType::SchemaOne) {
            return Err(Error::SchemaOne { document: name.to_owned() });
        }
        let version: Version = object(name, bytes)?;
        match version.schema_version {
            Some(2) => {}
            Some(1) => return Err(Error::SchemaOne { document: name.to_owned() }),
            Some(other) => return Err(invalid(format!("schemaVersion is {other}: expected 2"))),
            None => return Err(invalid("no schemaVersion: expected 2".into())),
        }
        let raw: Raw = object(name, bytes)?;
        let (own, announced) = (raw.media_type.as_deref().map(bare), announced.map(bare));
        if let (Some(own), Some(announced)) = (own, announced)
            && own != announced
        {
            let (own, announced) = (escape(own), escape(announced));
            return Err(invalid(format!("mediaType is {own}: expected {announced}, as it was announced")));
        }
        let kind = own.or(announced).map(|text| (MediaType::of(text), text.to_owned()));
        raw.typed(name, kind.as_ref())
    }
}

impl Raw {
    fn typed(self, name: &str, kind: Option<&(MediaType, String)>) -> Result<Document, Error> {
        let invalid = |why: String| Error::invalid(name, why);
        let is_index = self.manifests.is_some();
        let is_manifest = self.config.is_some() || self.layers.is_some();
        match (kind, is_index, is_manifest) {
            (_, true, true) => Err(invalid("an index and a manifest in one: expected one of them".into())),
            (_, _, _) if self.fs_layers.is_some() => {
                Err(invalid("has the fields of another schema: expected those of schema 2".into()))
            }
            (Some((MediaType::SchemaOne, _)), ..) => Err(Error::SchemaOne { document: name.to_owned() }),
            (None | Some((MediaType::Index, _)), true, false) => {
                let manifests = self.manifests.flatten().unwrap_or_default();
                Ok(Document::Index(Index { manifests }))
            }
            (None | Some((MediaType::Manifest, _)), false, true) => {
                self.manifest(name).map(Box::new).map(Document::Manifest)
            }
            (None, ..) => Err(invalid("neither an index nor a manifest: expected one of them".into())),
            (Some((MediaType::Index, _)), ..) => Err(invalid("no manifests: expected an index".into())),
            (Some((MediaType::Manifest, _)), ..) => {
                Err(invalid("no config and layers: expected a manifest".into()))
            }
            (Some((_, text)), ..) => Err(invalid(format!(
                "media type {}: expected an index or a manifest of an image",
                escape(text)
            ))),
        }
    }

    fn manifest(self, name: &str) -> Result<Manifest, Error> {
        let invalid = |why: String| Error::invalid(name, why);
        let config = self.config.flatten().ok_or_else(|| invalid("no config: expected one".into()))?;
        let layers = self.layers.flatten().unwrap_or_default();
        let artifact = self.artifact_type.filter(|kind| !kind.is_empty());
        let kind =
            artifact.or_else(|| (config.kind() != MediaType::Config).then(|| config.media_type.clone()));
        if let Some(kind) = kind {
            return Err(Error::Artifact { document: name.to_owned(), kind });
        }
        check_length(&format!("config of {name}"), config.size)?;
        if layers.len() > LAYERS_MAX {
            return Err(invalid(format!("{} layers: expected at most {LAYERS_MAX}", layers.len())));
        }
        for layer in &layers {
            let expected = match layer.kind() {
                MediaType::Layer | MediaType::ForeignLayer => continue,
                MediaType::EncryptedLayer => "expected one that is not encrypted",
                _ => "expected a tar",
            };
            let (digest, kind) = (layer.digest, escape(&layer.media_type));
            return Err(invalid(format!("layer {digest} is of type {kind}: {expected}")));
        }
        Ok(Manifest { config, layers, annotations: self.annotations })
    }
}

/// Checks that a document is not too long to be read.
pub(super) fn check_length(name: &str, length: u64) -> Result<(), Error> {
    if length > DOCUMENT_MAX {
        return Err(Error::invalid(name, format!("{length} bytes: expected at most {DOCUMENT_MAX}")));
    }
    Ok(())
}

/// Parses JSON without duplicate keys, whose nesting is bounded.
pub(super) fn json<T: serde::de::DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, Error> {
    pod::json::parse(bytes).map_err(|error| Error::invalid(name, error.to_string()))
}

/// Parses a JSON object. serde's structs can also be read from lists, which no document is.
pub(super) fn object<T: serde::de::DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, Error> {
    if matches!(bytes.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'[')) {
        return Err(Error::invalid(name, "a list: expected an object"));
    }
    json(name, bytes)
}

/// Reads a field that is there, even if it is null.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
