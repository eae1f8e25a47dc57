// SPDX-License-Identifier: Apache-2.0
//! Blob digests: what a registry names bytes by, and the hashing that checks it.
//!
//! Written as `sha256:` or `sha512:` and lower-case hex (OCI image specification, descriptor.md, "Digests").

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256, Sha512};

use crate::Error;

/// The digest of a blob or a manifest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobDigest {
    /// SHA-256, which nearly everybody uses.
    Sha256([u8; 32]),
    /// SHA-512, the other algorithm that the specification registers.
    Sha512([u8; 64]),
}

impl BlobDigest {
    /// Returns the SHA-256 digest of `bytes`.
    pub fn sha256_of(bytes: &[u8]) -> Self {
        Self::Sha256(Sha256::digest(bytes).into())
    }

    /// Returns the digest of `bytes` by the same algorithm as this one.
    pub fn same_of(&self, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::like(self);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Returns the algorithm's name.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha256",
            Self::Sha512(_) => "sha512",
        }
    }

    /// Returns the digest as lower-case hex.
    pub fn hex(&self) -> String {
        use fmt::Write as _;
        let mut hex = String::new();
        for byte in self.bytes() {
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(bytes) => bytes,
            Self::Sha512(bytes) => bytes,
        }
    }
}

impl fmt::Display for BlobDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm(), self.hex())
    }
}

impl fmt::Debug for BlobDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for BlobDigest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parsed = match text.split_once(':') {
            Some(("sha256", hex)) => decode(hex).map(Self::Sha256),
            Some(("sha512", hex)) => decode(hex).map(Self::Sha512),
            _ => None,
        };
        parsed.ok_or_else(|| Error::Digest { text: text.to_owned() })
    }
}

/// Decodes exactly `N` bytes of lower-case hex.
fn decode<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    if hex.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Hashes a stream by the algorithm of the digest that is expected of it.
#[derive(Clone)]
pub(crate) enum Hasher {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Hasher {
    pub(crate) fn like(expected: &BlobDigest) -> Self {
        match expected {
            BlobDigest::Sha256(_) => Self::Sha256(Sha256::new()),
            BlobDigest::Sha512(_) => Self::Sha512(Box::default()),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> BlobDigest {
        match self {
            Self::Sha256(hasher) => BlobDigest::Sha256(hasher.finalize().into()),
            Self::Sha512(hasher) => BlobDigest::Sha512(hasher.finalize().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digests_are_read_as_they_are_written() {
        assert_eq!(BlobDigest::sha256_of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<BlobDigest>().unwrap(), BlobDigest::sha256_of(b""));
        let long = format!("sha512:{}", "ab".repeat(64));
        assert_eq!(long.parse::<BlobDigest>().unwrap().to_string(), long);
    }

    #[test]
    fn the_algorithm_is_the_expected_ones() {
        let long: BlobDigest = format!("sha512:{}", "00".repeat(64)).parse().unwrap();
        assert_eq!(long.same_of(b"x").algorithm(), "sha512");
        assert_eq!(BlobDigest::sha256_of(b"").same_of(b""), BlobDigest::sha256_of(b""));
    }

    #[test]
    fn other_algorithms_lengths_and_cases_are_refused() {
        for text in [
            "",
            "sha256",
            "sha256:",
            "md5:00",
            "sha256:00",
            &EMPTY.to_uppercase(),
            &EMPTY.replace('e', "E"),
            &format!("{EMPTY}0"),
        ] {
            assert!(text.parse::<BlobDigest>().is_err(), "{text}");
        }
    }
}
