// SPDX-License-Identifier: Apache-2.0
//! What a tree of the store is, beside its content: a file `info` in the tree's directory, JSON.
//!
//! ```json
//! {"id": "sha256-…", "kind": "image", "name": "example.com/hello", "size": 1187328, "objects": 14,
//!  "record": 2127, "imported": 1767225600, "source": "/srv/images/hello.aci"}
//! ```
//!
//! A directory's name can be changed, so the tree's id is in here, too: what opens a tree compares the two.

use std::time::{SystemTime, UNIX_EPOCH};

use pod::digest::Digest;
use pod::name::Identifier;
use serde::{Deserialize, Serialize};

/// An info may be this long: a path and a name are in it.
pub(crate) const INFO_MAX: u64 = 64 << 10;

/// What a tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An app image: a manifest and a rootfs.
    Image,
    /// A stage1.
    Stage1,
}

impl Kind {
    /// What messages call it.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Stage1 => "stage1",
        }
    }
}

/// What is said about a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The sha256 of its tar.
    pub id: Digest,
    /// What it is.
    pub kind: Kind,
    /// An image's name, as its manifest has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Identifier>,
    /// Bytes of all files' content.
    pub size: u64,
    /// How many objects it has.
    pub objects: u64,
    /// How long its record is.
    pub record: u64,
    /// When it came into the store, in seconds since 1970.
    pub imported: u64,
    /// The archive file that it came from, an absolute path, if that is UTF-8: what `verify --repair` tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Info {
    /// How many seconds ago it came into the store.
    pub fn age(&self) -> u64 {
        now().saturating_sub(self.imported)
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
