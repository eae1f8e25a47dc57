// SPDX-License-Identifier: Apache-2.0
//! The description of a tree, beside its content: a JSON file `info` in the tree's directory.
//!
//! ```json
//! {"id": "sha256-…", "sha512": "sha512-…", "kind": "image", "name": "example.com/hello", "size": 1187328, "objects": 14,
//!  "record": 2127, "imported": 1767225600, "source": "/srv/images/hello.aci"}
//! ```
//!
//! A tree of several images has `"kind": "rendered"` and a `recipe`: `{"trees": ["sha256-…", …], "dependencies": [[1], …]}`.
//!
//! A directory can be renamed, so the tree's id is in the file, too. Code that opens a tree compares the two.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use pod::id::{ImageId, TreeId};
use pod::name::Identifier;
use serde::{Deserialize, Serialize};

use crate::recipe::Recipe;

/// The maximum length of an info in bytes; it contains a path and a name.
pub(crate) const INFO_MAX: u64 = 64 << 10;
/// The usual maximum: one read has all of such an info.
pub(crate) const INFO_USUAL: usize = 2 << 10;

/// The kind of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TreeKind {
    /// An app image: a manifest and a rootfs.
    Image,
    /// A stage1.
    Stage1,
    /// An app image and the images that it depends on, put over each other.
    Rendered,
}

impl TreeKind {
    /// Returns what messages call it.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Stage1 => "stage1",
            Self::Rendered => "rendered image",
        }
    }
}

/// The name and labels of an image, in its manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnName {
    /// Its name.
    pub name: Identifier,
    /// Its labels, which tell images of one name apart.
    pub labels: BTreeMap<String, String>,
}

/// The description of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Its id.
    pub id: TreeId,
    /// An image's other id, which manifests of appc 0.8 have: the sha512 of its tar, or of an OCI image's configuration.
    /// `None` for a stage1, and for an image that came into the store before this was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha512: Option<ImageId>,
    /// The tree's kind.
    pub kind: TreeKind,
    /// An image's name, as in its manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Identifier>,
    /// An image's labels, as in its manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Size of all files' content, in bytes.
    pub size: u64,
    /// Number of objects in the tree.
    pub objects: u64,
    /// Length of its record, in bytes.
    pub record: u64,
    /// Time when it came into the store, in seconds since 1970.
    pub imported: u64,
    /// Absolute path of the archive file that it came from, if that is UTF-8. `verify --repair` tries this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The recipe of a rendered tree, from which `verify --repair` renders it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Recipe>,
}

impl Info {
    /// Returns how many seconds ago it came into the store.
    pub fn age(&self) -> u64 {
        now().saturating_sub(self.imported)
    }
}

/// Returns the current time in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
