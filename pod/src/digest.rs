// SPDX-License-Identifier: Apache-2.0
//! Digests: what an image is called by, and what its bytes must hash to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::text::escape;

/// What stands before the hex digits of an image id.
pub const PREFIX: &str = "sha256-";

/// A sha256 digest, 32 bytes; as text `sha256-` and 64 lowercase hex digits, which is also an image's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest whose bytes these are, as a hash function returns them.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 lowercase hex digits, as `sha256sum` prints them.
    ///
    /// # Errors
    /// Where `hex` is anything else.
    pub fn from_hex(hex: &str) -> Result<Self> {
        let invalid =
            || Error::new(format!("invalid sha256 {}: expected 64 lowercase hex digits", escape(hex)));
        let digits = hex.as_bytes();
        if digits.len() != 64 {
            return Err(invalid());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = (nibble(pair[0]), nibble(pair[1]));
            *byte = high.zip(low).map(|(high, low)| high << 4 | low).ok_or_else(invalid)?;
        }
        Ok(Self(bytes))
    }

    /// The 64 hex digits alone.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
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
        write!(f, "{PREFIX}{}", self.hex())
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
        let hex = text.strip_prefix(PREFIX).ok_or_else(|| {
            Error::new(format!(
                "invalid image id {}: expected {PREFIX} and 64 lowercase hex digits",
                escape(text)
            ))
        })?;
        Self::from_hex(hex)
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
        let text = format!("sha256-{}", "0123456789abcdef".repeat(4));
        assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
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
            format!("sha256-+{}", &hex[1..]),
            "sha256-é".into(),
            String::new(),
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
