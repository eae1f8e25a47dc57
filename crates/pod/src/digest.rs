// SPDX-License-Identifier: Apache-2.0
//! Digests: what bytes hash to.
//!
//! A digest is not an id. What names a thing has a type in [`crate::id`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::text::escape;

/// A digest. As text, it is `sha256-` or `sha512-` and its bytes in lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Digest {
    /// SHA-256.
    Sha256([u8; 32]),
    /// SHA-512.
    Sha512([u8; 64]),
}

const SHA256: &str = "sha256-";
const SHA512: &str = "sha512-";

/// The form of a digest, for messages.
pub(crate) const EXPECTED: &str = "sha256- and 64 lowercase hex digits, or sha512- and 128";

impl Digest {
    /// Returns only the hex digits.
    pub fn hex(&self) -> String {
        let bytes = match self {
            Self::Sha256(bytes) => bytes.as_slice(),
            Self::Sha512(bytes) => bytes,
        };
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Tells whether it is a SHA-512.
    pub fn is_sha512(&self) -> bool {
        matches!(self, Self::Sha512(_))
    }

    /// Reads a digest; returns `None` if the text is none.
    pub(crate) fn find(text: &str) -> Option<Self> {
        match (text.strip_prefix(SHA256), text.strip_prefix(SHA512)) {
            (Some(hex), _) => bytes(hex).map(Self::Sha256),
            (_, Some(hex)) => bytes(hex).map(Self::Sha512),
            _ => None,
        }
    }
}

/// A digest that is a SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "Digest", try_from = "Digest")]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// Makes a digest of these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the 64 lowercase hex digits, as `sha256sum` prints them.
    ///
    /// # Errors
    /// Fails if `hex` is anything else.
    pub fn from_hex(hex: &str) -> Result<Self> {
        bytes(hex).map(Self).ok_or_else(|| {
            Error::new(format!("invalid sha256 {}: expected 64 lowercase hex digits", escape(hex)))
        })
    }
}

impl From<[u8; 32]> for Sha256 {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl From<Sha256> for Digest {
    fn from(sha256: Sha256) -> Self {
        Self::Sha256(sha256.0)
    }
}

impl TryFrom<Digest> for Sha256 {
    type Error = Error;

    fn try_from(digest: Digest) -> Result<Self> {
        match digest {
            Digest::Sha256(bytes) => Ok(Self(bytes)),
            Digest::Sha512(_) => Err(Error::new(format!("{digest} is no sha256"))),
        }
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Digest::from(*self).fmt(f)
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads exactly this many bytes, in lowercase hex digits.
pub(crate) fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let digits = hex.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (nibble(pair[0])?, nibble(pair[1])?);
        *byte = high << 4 | low;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = if self.is_sha512() { SHA512 } else { SHA256 };
        write!(f, "{algorithm}{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || Error::new(format!("invalid digest {}: expected {EXPECTED}", escape(text)));
        Self::find(text).ok_or_else(invalid)
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let hex = "0123456789abcdef".repeat(4);
        for text in [format!("sha256-{hex}"), format!("sha512-{hex}{hex}")] {
            assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let hex = "0123456789abcdef".repeat(4);
        for bad in [
            hex.clone(),
            format!("sha256:{hex}"),
            "sha256:../../x".into(),
            format!("sha256-{}", hex.to_uppercase()),
            format!("sha256-{}", &hex[1..]),
            format!("sha256-{hex}0"),
            format!("sha512-{hex}"),
            format!("sha256-{hex}{hex}"),
            format!("md5-{}", &hex[..32]),
            format!("sha256-+{}", &hex[1..]),
            "sha256-é".into(),
            String::new(),
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
