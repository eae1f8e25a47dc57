// SPDX-License-Identifier: Apache-2.0
//! Signatures as cosign makes them with a key: a small document that says which manifest is signed under which name,
//! and a signature of its bytes (cosign, specs/SIGNATURE_SPEC.md). Everything is checked offline, with the
//! administrator's keys.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::policy::{Identity, SignedBy, SignedName};
use crate::reference::Reference;
use pod::blob::BlobDigest;

/// The type of a signature's payload.
pub(crate) const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation that has the signature itself.
pub(crate) const ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// The type that a payload must name.
const TYPE: &str = "cosign container image signature";

/// A signature as it comes from a registry. Nothing in it is trusted yet.
#[derive(Clone, Debug)]
pub(crate) struct Signature {
    pub(crate) payload: Vec<u8>,
    /// The signature of the payload's bytes, in base64.
    pub(crate) signature: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    critical: Critical,
    #[serde(rename = "optional")]
    _optional: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    identity: SaidIdentity,
    image: SaidImage,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SaidIdentity {
    docker_reference: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SaidImage {
    docker_manifest_digest: String,
}

impl Signature {
    /// Checks that a key of `by` signed one of the manifests, under a name that is the image's.
    ///
    /// # Errors
    /// Fails with what is wrong.
    pub(crate) fn check(
        &self,
        by: &SignedBy,
        image: &Reference,
        manifests: &[BlobDigest],
    ) -> Result<(), String> {
        let signature =
            BASE64_STANDARD.decode(&self.signature).map_err(|_| "a signature is not in base64")?;
        // The payload is not parsed before its signature has been verified.
        if !by.keys.iter().any(|key| key.verifies(&self.payload, &signature)) {
            return Err("a signature is not of one of its keys".to_owned());
        }
        let payload: Payload =
            serde_json::from_slice(&self.payload).map_err(|_| "what is signed is not about an image")?;
        let Critical { identity, image: said, kind } = payload.critical;
        if kind != TYPE {
            return Err("what is signed is not an image's signature by cosign".to_owned());
        }
        let digest: BlobDigest =
            said.docker_manifest_digest.parse().map_err(|_| "the signed digest is none")?;
        if !manifests.contains(&digest) {
            return Err(format!("another manifest is signed, {digest}"));
        }
        check_name(&by.identity, image, &identity.docker_reference)
    }
}

fn check_name(identity: &Identity, image: &Reference, text: &str) -> Result<(), String> {
    let name = SignedName::parse(text)?;
    if identity.accepts(image, &name) {
        return Ok(());
    }
    Err(format!("it is signed as {text}, which the policy does not take for {image}"))
}

/// Checks that one of the signatures fulfils each requirement.
///
/// # Errors
/// Fails with what is wrong.
pub(crate) fn check_all(
    signatures: &[Signature],
    required: &[SignedBy],
    image: &Reference,
    manifests: &[BlobDigest],
) -> Result<(), String> {
    for by in required {
        let mut problem = "it has no signature".to_owned();
        let mut all = signatures.iter().map(|signature| signature.check(by, image, manifests));
        let is_good = all.any(|result| result.map_err(|wrong| problem = wrong).is_ok());
        if !is_good {
            return Err(problem);
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
