// SPDX-License-Identifier: Apache-2.0
//! Signatures as cosign makes them with a key: a small document that says which manifest is signed under which name, and
//! a signature of its bytes (cosign, specs/SIGNATURE_SPEC.md). All is checked offline: keys are the administrator's.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use serde::Deserialize;
use serde::de::IgnoredAny;
use webpki::{RawPublicKeyEntity, ring};

use crate::policy::{Identity, SignedBy, SignedName};
use crate::reference::Reference;
use pod::blob::BlobDigest;

/// The type of a signature's payload.
pub(crate) const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation that has the signature itself.
pub(crate) const ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// What a payload says that it is.
const TYPE: &str = "cosign container image signature";

/// How a key can sign. Each key fits one of them; the digest is SHA-256, as cosign makes it.
const ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 4] =
    [ring::ECDSA_P256_SHA256, ring::ECDSA_P384_SHA256, ring::ED25519, ring::RSA_PKCS1_2048_8192_SHA256];

/// A public key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    spki: SubjectPublicKeyInfoDer<'static>,
}

impl Key {
    /// Parses a key in PEM; an error says what was expected.
    pub(crate) fn parse(pem: &[u8]) -> Result<Self, String> {
        let key = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok().map(|spki| Self { spki });
        let key = key.filter(Self::is_supported);
        key.ok_or_else(|| "expected a public key as PEM: ECDSA (P-256, P-384), Ed25519 or RSA".to_owned())
    }

    /// Tells whether some algorithm takes the key: it then says that a signature is wrong, not that the key is.
    fn is_supported(&self) -> bool {
        let Ok(key) = RawPublicKeyEntity::try_from(&self.spki) else { return false };
        let wrong = Err(webpki::Error::InvalidSignatureForPublicKey);
        ALGORITHMS.iter().any(|algorithm| key.verify_signature(*algorithm, b"", b"") == wrong)
    }

    fn verifies(&self, payload: &[u8], signature: &[u8]) -> bool {
        let Ok(key) = RawPublicKeyEntity::try_from(&self.spki) else { return false };
        ALGORITHMS.iter().any(|algorithm| key.verify_signature(*algorithm, payload, signature).is_ok())
    }
}

/// A signature as it comes from a registry. Nothing of it is believed yet.
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
        // Nothing of the payload is read before its signature is known to be good.
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
