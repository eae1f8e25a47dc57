// SPDX-License-Identifier: Apache-2.0
//! Manifests: fetched whole and checked against the digest. The registry and the document must agree on what it is.

use serde::Deserialize;
use serde::de::IgnoredAny;
use ureq::http::HeaderName;
use ureq::http::header::CONTENT_TYPE;

use super::exchange::Ask;
use super::origin::Origin;
use super::pull::{Client, Pull};
use super::request::whole;
use crate::cancel::Cancel;
use crate::error::{Error, Failure};
use crate::reference::Version;
use pod::blob::BlobDigest;

/// The largest manifest (OCI distribution specification, "Pushing Manifests").
const LARGEST: u64 = 4 << 20;
/// The media types that are accepted, preferred ones first.
const ACCEPTED: [(&str, Kind); 4] = [
    ("application/vnd.oci.image.index.v1+json", Kind::Index),
    ("application/vnd.oci.image.manifest.v1+json", Kind::Manifest),
    ("application/vnd.docker.distribution.manifest.list.v2+json", Kind::Index),
    ("application/vnd.docker.distribution.manifest.v2+json", Kind::Manifest),
];
/// Types of Docker's first manifest, which has no digests of what is in the layers.
const SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];
/// Content types that carry no information; servers of plain files send them.
const NO_TYPES: [&str; 4] = ["", "application/json", "application/octet-stream", "text/plain"];
/// The header with the digest of a manifest.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// The kind of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A list of manifests, one for each platform.
    Index,
    /// One image.
    Manifest,
}

/// A manifest or an index whose bytes have its digest.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The document, as it was signed and is stored.
    pub bytes: Vec<u8>,
    /// The kind of the document.
    pub kind: Kind,
    /// Its media type; a default if neither the registry nor the document states one.
    pub media_type: &'static str,
    /// Its digest: the requested one, or else its SHA-256.
    pub digest: BlobDigest,
}

/// The fields by which a document is known.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    schema_version: Option<u64>,
    media_type: Option<String>,
    manifests: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
    fs_layers: Option<IgnoredAny>,
}

impl Manifest {
    /// Accepts a document that another process has fetched, if it is what was asked for.
    ///
    /// # Errors
    /// Fails if it has another digest, or is not of this type.
    pub fn received(
        version: &Version,
        digest: BlobDigest,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> Result<Self, Failure> {
        let expected = match version {
            Version::Digest(expected) => *expected,
            Version::Tag(_) => digest,
        };
        let found = expected.of_same_kind(&bytes);
        if found != expected {
            return Err(Failure::Digest { expected: expected.into(), found: found.into() });
        }
        let (media_type, kind) = known(media_type, &bytes)?;
        Ok(Self { bytes, kind, media_type, digest: found })
    }
}

impl Pull<'_> {
    /// Fetches the document that the reference names: by its digest if it has one, else by its tag.
    ///
    /// # Errors
    /// Fails if no endpoint has it, or what they send is not what was asked for.
    pub fn manifest(&self) -> Result<Manifest, Error> {
        self.manifest_at(&self.reference.version())
    }

    /// Fetches another document of the repository, such as a manifest that an index names, or an image's signatures.
    ///
    /// # Errors
    /// Fails if no endpoint has it, or what they send is not what was asked for.
    pub fn manifest_at(&self, version: &Version) -> Result<Manifest, Error> {
        let client = self.client;
        let what = format!("the manifest {version}");
        let what = if *version == self.reference.version() { "the manifest" } else { what.as_str() };
        self.try_each(what, |origin| client.manifest(&client.cancel, origin, version))
    }

    /// Finds out which manifest the reference names now, without fetching it if the registry says its digest.
    ///
    /// # Errors
    /// Fails if no endpoint has it.
    pub fn current_digest(&self) -> Result<BlobDigest, Error> {
        let client = self.client;
        if let Some(digest) = self.reference.digest() {
            return Ok(digest);
        }
        self.try_each("the digest", |origin| {
            let ask = ask(&self.reference.version(), true);
            let answer = client.ask(&client.cancel, origin, &ask)?;
            let said = answer.header(CONTENT_DIGEST).and_then(|text| text.parse().ok());
            let fetch = || client.manifest(&client.cancel, origin, &self.reference.version());
            said.map_or_else(|| fetch().map(|manifest| manifest.digest), Ok)
        })
    }
}

fn ask(version: &Version, head: bool) -> Ask<'static> {
    const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
        application/vnd.oci.image.manifest.v1+json, \
        application/vnd.docker.distribution.manifest.list.v2+json, \
        application/vnd.docker.distribution.manifest.v2+json";
    Ask { path: format!("manifests/{version}"), what: "image", accept: ACCEPT, from: 0, head }
}

impl Client<'_> {
    fn manifest(&self, cancel: &Cancel, origin: &Origin, version: &Version) -> Result<Manifest, Failure> {
        let answer = self.ask(cancel, origin, &ask(version, false))?;
        if let Some(length) = answer.length().filter(|length| *length > LARGEST) {
            return Err(Failure::Document(format!(
                "the manifest has {length} bytes, expected at most {LARGEST}"
            )));
        }
        let content_type = answer.header(CONTENT_TYPE).unwrap_or_default().to_owned();
        let said = answer.header(CONTENT_DIGEST).and_then(|text| text.parse::<BlobDigest>().ok());
        let bytes = whole(answer.body, LARGEST, cancel)?;
        let expected = match version {
            Version::Digest(digest) => Some(*digest),
            Version::Tag(_) => said,
        };
        let digest =
            expected.map_or_else(|| BlobDigest::sha256(&bytes), |expected| expected.of_same_kind(&bytes));
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            return Err(Failure::Digest { expected: expected.into(), found: digest.into() });
        }
        let (media_type, kind) = known(&content_type, &bytes)?;
        Ok(Manifest { bytes, kind, media_type, digest })
    }
}

/// Determines what a document is. The registry and the document must agree.
fn known(content_type: &str, bytes: &[u8]) -> Result<(&'static str, Kind), Failure> {
    let refuse = |problem: String| Err(Failure::Document(problem));
    let header = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Ok(probe) = serde_json::from_slice::<Probe>(bytes) else {
        return refuse(format!("expected a manifest, not {} of type \"{header}\"", "a document"));
    };
    let said = probe.media_type.as_deref();
    let is_1 = |text: &str| SCHEMA_1.contains(&text);
    if probe.schema_version == Some(1) || probe.fs_layers.is_some() || is_1(&header) || said.is_some_and(is_1)
    {
        return refuse(
            "it is of Docker's schema 1, which is not supported: push it again with a newer client"
                .to_owned(),
        );
    }
    let index = probe.manifests.is_some();
    let manifest = probe.layers.is_some() || probe.config.is_some();
    if index && manifest {
        return refuse("it is a manifest and an index at once".to_owned());
    }
    let header = Some(header.as_str()).filter(|header| !NO_TYPES.contains(header));
    if let (Some(said), Some(header)) = (said, header)
        && said != header
    {
        return refuse(format!("its type is \"{said}\", and the registry says \"{header}\""));
    }
    let kind = if index { Kind::Index } else { Kind::Manifest };
    let assumed =
        ACCEPTED.iter().find(|(_, assumed)| *assumed == kind && (index || manifest)).map(|(name, _)| *name);
    let Some(name) = said.or(header).or(assumed) else {
        return refuse("expected an image's manifest or index".to_owned());
    };
    match ACCEPTED.iter().find(|(accepted, _)| *accepted == name) {
        Some((accepted, Kind::Index)) if !manifest => Ok((accepted, Kind::Index)),
        Some((accepted, Kind::Manifest)) if !index => Ok((accepted, Kind::Manifest)),
        Some(_) => refuse(format!("it is not what its type \"{name}\" says")),
        None => refuse(format!("expected an image's manifest or index, not \"{name}\"")),
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
