// SPDX-License-Identifier: Apache-2.0
//! Digests, which name images and which an image's bytes must hash to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::text::escape;

/// A digest. As text, it is `sha256-` or `sha512-` and its bytes in lowercase hex digits, which is also an image's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Digest {
    /// SHA-256, by which Gantry names images.
    Sha256([u8; 32]),
    /// SHA-512, by which pod manifests of appc 0.8 may name them.
    Sha512([u8; 64]),
}

const SHA256: &str = "sha256-";
const SHA512: &str = "sha512-";

impl Digest {
    /// Reads the 64 lowercase hex digits of a sha256, as `sha256sum` prints them.
    ///
    /// # Errors
    /// Fails if `hex` is anything else.
    pub fn from_hex(hex: &str) -> Result<Self> {
        bytes(hex).map(Self::Sha256).ok_or_else(|| {
            Error::new(format!("invalid sha256 {}: expected 64 lowercase hex digits", escape(hex)))
        })
    }

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
}

/// Reads exactly this many bytes, in lowercase hex digits.
fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
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
        let digest = match (text.strip_prefix(SHA256), text.strip_prefix(SHA512)) {
            (Some(hex), _) => bytes(hex).map(Self::Sha256),
            (_, Some(hex)) => bytes(hex).map(Self::Sha512),
            _ => None,
        };
        digest.ok_or_else(|| {
            Error::new(format!(
                "invalid image id {}: expected {SHA256} and 64 lowercase hex digits, or {SHA512} and 128",
                escape(text)
            ))
        })
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
