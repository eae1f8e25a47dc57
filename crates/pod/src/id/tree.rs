// SPDX-License-Identifier: Apache-2.0
//! The id of a tree.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Sha256};
use crate::error::{Error, Result};
use crate::text::escape;

/// The store's name of a tree: the SHA-256 of the uncompressed tar that the tree was unpacked from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TreeId(Sha256);

impl TreeId {
    /// Returns the id of the tree whose uncompressed tar has this SHA-256.
    pub const fn of_tar(sha256: Sha256) -> Self {
        Self(sha256)
    }

    /// Returns the SHA-256 of the tree's tar.
    pub fn sha256(self) -> Sha256 {
        self.0
    }
}

impl fmt::Display for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TreeId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match Digest::find(text) {
            Some(Digest::Sha256(sha256)) => Ok(Self(sha256.into())),
            _ => Err(Error::new(format!(
                "invalid tree id {}: expected sha256- and 64 lowercase hex digits",
                escape(text)
            ))),
        }
    }
}

impl TryFrom<String> for TreeId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<TreeId> for String {
    fn from(id: TreeId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sha512_names_no_tree() {
        let hex = "0123456789abcdef".repeat(4);
        let text = format!("sha256-{hex}");
        assert_eq!(text.parse::<TreeId>().unwrap().to_string(), text);
        for bad in [format!("sha512-{hex}{hex}"), hex, String::new()] {
            assert!(bad.parse::<TreeId>().is_err(), "{bad}");
        }
    }
}
