// SPDX-License-Identifier: Apache-2.0
//! Public keys that sign images. They are the administrator's.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use webpki::{RawPublicKeyEntity, ring};

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

    /// Returns the key as DER.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.spki.as_ref()
    }

    /// Tells whether an algorithm supports the key: given a wrong signature, it then reports the signature and not the
    /// key.
    fn is_supported(&self) -> bool {
        let Ok(key) = RawPublicKeyEntity::try_from(&self.spki) else { return false };
        let wrong = Err(webpki::Error::InvalidSignatureForPublicKey);
        ALGORITHMS.iter().any(|algorithm| key.verify_signature(*algorithm, b"", b"") == wrong)
    }

    /// Tells whether `signature` is one of `payload` by this key.
    pub(crate) fn verifies(&self, payload: &[u8], signature: &[u8]) -> bool {
        let Ok(key) = RawPublicKeyEntity::try_from(&self.spki) else { return false };
        ALGORITHMS.iter().any(|algorithm| key.verify_signature(*algorithm, payload, signature).is_ok())
    }
}
