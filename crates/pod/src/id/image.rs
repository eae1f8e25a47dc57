// SPDX-License-Identifier: Apache-2.0
//! The id of an image.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::tree::TreeId;
use crate::digest::{Digest, EXPECTED};
use crate::error::{Error, Result};
use crate::text::escape;

/// A pod's name of an image: a digest of the image's uncompressed tar. Pod manifests of appc 0.8 may use SHA-512.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ImageId(Digest);

impl ImageId {
    /// Returns the id of the image whose uncompressed tar has this digest.
    pub fn of_tar(digest: Digest) -> Self {
        Self(digest)
    }

    /// Returns the digest that the image's uncompressed tar has.
    pub fn digest(self) -> Digest {
        self.0
    }

    /// Returns the id of the image's tree; `None` if this id is a SHA-512, whose tree only the store knows.
    pub fn as_tree(self) -> Option<TreeId> {
        match self.0 {
            Digest::Sha256(sha256) => Some(TreeId::of_tar(sha256.into())),
            Digest::Sha512(_) => None,
        }
    }
}

impl TreeId {
    /// Returns the id by which a pod may call the image whose tree this is.
    pub fn as_image(self) -> ImageId {
        ImageId::of_tar(self.sha256().into())
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ImageId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || Error::new(format!("invalid image id {}: expected {EXPECTED}", escape(text)));
        Digest::find(text).map(Self).ok_or_else(invalid)
    }
}

impl TryFrom<String> for ImageId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ImageId> for String {
    fn from(id: ImageId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_id_that_is_a_sha256_is_a_trees() {
        let hex = "0123456789abcdef".repeat(4);
        let short: ImageId = format!("sha256-{hex}").parse().unwrap();
        let tree = short.as_tree().unwrap();
        assert_eq!((tree.to_string(), tree.as_image()), (short.to_string(), short));
        let long: ImageId = format!("sha512-{hex}{hex}").parse().unwrap();
        assert_eq!(long.as_tree(), None);
        let error = hex.parse::<ImageId>().unwrap_err().to_string();
        assert!(error.starts_with("invalid image id"), "{error}");
    }
}
