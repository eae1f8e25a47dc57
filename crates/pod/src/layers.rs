// SPDX-License-Identifier: Apache-2.0
//! The place of a pod's trees: in the pod directory itself, or in the store, with the pod's changes in layers over
//! them.
//!
//! The installer writes it as JSON, to a file `layers` in the pod directory:
//!
//! ```json
//! {"mode": "overlay", "stage1": "sha256-…", "images": {"sha256-…": "sha256-…"}}
//! {"mode": "copy"}
//! ```
//!
//! Trees are named by their ids. `images` maps each image id in the pod's manifest, which may be a
//! sha512, to the image's tree.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::id::{ImageId, TreeId};
use crate::json;

/// The place of a pod's trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layers {
    /// In the store, as the lower layers of overlays; the pod directory holds the upper ones.
    Overlay {
        /// Stage1's tree.
        stage1: TreeId,
        /// The images' trees, by image id.
        images: BTreeMap<ImageId, TreeId>,
    },
    /// In the pod directory; each app has a tree of its own.
    Copy,
}

/// The JSON form. Reading it as a tagged enum would make `/init` larger, which is part of every stage1.
#[derive(Serialize, Deserialize)]
struct Raw {
    mode: Mode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stage1: Option<TreeId>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    images: BTreeMap<ImageId, TreeId>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Overlay,
    Copy,
}

impl Layers {
    /// Reads what [`Layers::to_json`] has written.
    ///
    /// # Errors
    /// Fails if the bytes are not such JSON.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let Raw { mode, stage1, images } = json::parse(bytes)?;
        match (mode, stage1) {
            (Mode::Copy, _) => Ok(Self::Copy),
            (Mode::Overlay, Some(stage1)) => Ok(Self::Overlay { stage1, images }),
            (Mode::Overlay, None) => Err(Error::new("no stage1: expected overlays to have one")),
        }
    }

    /// Returns one line of JSON.
    pub fn to_json(&self) -> String {
        let raw = match self {
            Self::Copy => Raw { mode: Mode::Copy, stage1: None, images: BTreeMap::new() },
            Self::Overlay { stage1, images } => {
                Raw { mode: Mode::Overlay, stage1: Some(*stage1), images: images.clone() }
            }
        };
        serde_json::to_string(&raw).expect("digests and names make JSON") + "\n"
    }

    /// Returns the trees in the store that the pod needs.
    pub fn trees(&self) -> Vec<TreeId> {
        match self {
            Self::Overlay { stage1, images } => {
                [*stage1].into_iter().chain(images.values().copied()).collect()
            }
            Self::Copy => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn what_is_written_is_read() {
        let tree = |byte: u8| TreeId::of_tar([byte; 32].into());
        let images = [(ImageId::of_tar(Digest::Sha512([3; 64])), tree(2))].into();
        for layers in [Layers::Copy, Layers::Overlay { stage1: tree(1), images }] {
            assert_eq!(Layers::parse(layers.to_json().as_bytes()).unwrap(), layers);
        }
        assert_eq!(Layers::Copy.to_json(), "{\"mode\":\"copy\"}\n");
        for bad in
            ["", "{}", r#"{"mode":"other"}"#, r#"{"mode":"overlay"}"#, r#"{"mode":"copy","mode":"copy"}"#]
        {
            assert!(Layers::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
