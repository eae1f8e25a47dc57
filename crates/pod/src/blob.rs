// SPDX-License-Identifier: Apache-2.0
//! Digests of blobs as OCI documents write them: `sha256:` or `sha512:` and hex digits (OCI image spec, descriptor.md,
//! "Digests").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

use crate::digest::{Digest, bytes};
use crate::text::escape;

/// A digest of a blob, or of the tar inside of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum BlobDigest {
    /// SHA-256.
    Sha256([u8; 32]),
    /// SHA-512.
    Sha512([u8; 64]),
}

/// A text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid digest {}: expected sha256: and 64 lowercase hex digits, or sha512: and 128", escape(.0))]
pub struct InvalidDigest(String);

/// Computes a digest of either kind.
#[derive(Clone, Debug)]
pub enum BlobHasher {
    /// SHA-256.
    Sha256(Sha256),
    /// SHA-512.
    Sha512(Box<Sha512>),
}

impl BlobDigest {
    /// Returns the SHA-256 of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::Sha256(Sha256::digest(bytes).into())
    }

    /// Computes the digest of `bytes` of the same kind as this one.
    pub fn of_same_kind(&self, bytes: &[u8]) -> Self {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Starts to compute a digest of the same kind as this one.
    pub fn hasher(&self) -> BlobHasher {
        match self {
            Self::Sha256(_) => BlobHasher::Sha256(Sha256::new()),
            Self::Sha512(_) => BlobHasher::Sha512(Box::default()),
        }
    }

    /// Returns the algorithm's name, which is also its directory's in an OCI layout.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha256",
            Self::Sha512(_) => "sha512",
        }
    }

    /// Returns the digest in hex digits.
    pub fn hex(&self) -> String {
        Digest::from(*self).hex()
    }
}

impl BlobHasher {
    /// Hashes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// Returns the digest of all bytes hashed so far.
    pub fn finish(self) -> BlobDigest {
        match self {
            Self::Sha256(hasher) => BlobDigest::Sha256(hasher.finalize().into()),
            Self::Sha512(hasher) => BlobDigest::Sha512(hasher.finalize().into()),
        }
    }
}

impl From<Digest> for BlobDigest {
    fn from(digest: Digest) -> Self {
        match digest {
            Digest::Sha256(bytes) => Self::Sha256(bytes),
            Digest::Sha512(bytes) => Self::Sha512(bytes),
        }
    }
}

impl From<BlobDigest> for Digest {
    fn from(digest: BlobDigest) -> Self {
        match digest {
            BlobDigest::Sha256(bytes) => Self::Sha256(bytes),
            BlobDigest::Sha512(bytes) => Self::Sha512(bytes),
        }
    }
}

impl FromStr for BlobDigest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let parsed = match text.split_once(':') {
            Some(("sha256", hex)) => bytes(hex).map(Self::Sha256),
            Some(("sha512", hex)) => bytes(hex).map(Self::Sha512),
            _ => None,
        };
        parsed.ok_or_else(|| InvalidDigest(text.to_owned()))
    }
}

impl TryFrom<String> for BlobDigest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<BlobDigest> for String {
    fn from(digest: BlobDigest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for BlobDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm(), self.hex())
    }
}

impl fmt::Debug for BlobDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let hex = "0123456789abcdef".repeat(4);
        for text in [format!("sha256:{hex}"), format!("sha512:{hex}{hex}")] {
            assert_eq!(text.parse::<BlobDigest>().unwrap().to_string(), text);
        }
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(BlobDigest::sha256(b"").to_string(), empty);
        assert_eq!(empty.parse::<BlobDigest>().unwrap().of_same_kind(b""), BlobDigest::sha256(b""));
        let long: BlobDigest = format!("sha512:{}", "00".repeat(64)).parse().unwrap();
        assert_eq!(long.of_same_kind(b"x").algorithm(), "sha512");
        assert_eq!(BlobDigest::from(Digest::from(long)), long);
    }

    #[test]
    fn anything_else_is_refused() {
        let hex = "0123456789abcdef".repeat(4);
        for bad in [
            String::new(),
            hex.clone(),
            "sha256".into(),
            "sha256:".into(),
            "md5:00".into(),
            "sha256:00".into(),
            format!("sha256:{hex}").to_uppercase(),
            format!("sha256-{hex}"),
            format!("sha256:{}", hex.to_uppercase()),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{hex}0"),
            format!("sha512:{hex}"),
            format!("md5:{}", &hex[..32]),
            "sha256:../../x".into(),
            format!("sha256:{}é", &hex[2..]),
        ] {
            assert!(bad.parse::<BlobDigest>().is_err(), "{bad}");
        }
    }
}
