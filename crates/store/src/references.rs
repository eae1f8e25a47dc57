// SPDX-License-Identifier: Apache-2.0
//! Which trees pods refer to: what their directories say, those being built included.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use pod::digest::Digest;
use pod::id::PodId;
use pod::layers::Layers;
use pod::layout;
use rustix::fs::{Dir, OFlags};
use rustix::io::Errno;

use crate::home::Home;
use sys::open_beneath;

/// A pod's layers may be described in so many bytes: some hundred images.
const LAYERS_MAX: u64 = 1 << 20;

/// The pods that refer to each tree.
#[derive(Debug, Default)]
pub struct References {
    all: BTreeMap<Digest, Vec<PodId>>,
    /// Those that are complete and have it as their stage1.
    as_stage1: BTreeMap<Digest, Vec<PodId>>,
}

impl References {
    /// Reads what every pod directory says.
    ///
    /// # Errors
    /// Where one can't be understood: it might refer to any tree.
    pub fn read(home: &Home) -> Result<Self> {
        let mut references = Self::default();
        for (directory, are_complete) in [(&home.containers, true), (&home.staging, false)] {
            for entry in Dir::read_from(directory).context("cannot list the pods")? {
                let entry = entry.context("cannot list the pods")?;
                let Some(id) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) else {
                    continue;
                };
                let layers = read(directory, id).with_context(|| format!("pod {id}: its {}", layout::LAYERS));
                let Some(layers) = layers? else { continue };
                for tree in layers.trees() {
                    references.all.entry(tree).or_default().push(id);
                }
                if let (Layers::Overlay { stage1, .. }, true) = (layers, are_complete) {
                    references.as_stage1.entry(stage1).or_default().push(id);
                }
            }
        }
        Ok(references)
    }

    /// The pods that refer to this tree.
    pub fn to(&self, tree: Digest) -> &[PodId] {
        self.all.get(&tree).map_or(&[], Vec::as_slice)
    }

    /// The pods of overlays whose stage1 this is, those being built not included.
    pub fn as_stage1_to(&self, tree: Digest) -> &[PodId] {
        self.as_stage1.get(&tree).map_or(&[], Vec::as_slice)
    }
}

/// What a pod says of its layers, if it does by now.
fn read(directory: &OwnedFd, id: PodId) -> Result<Option<Layers>> {
    let path = format!("{id}/{}", layout::LAYERS);
    let file = match open_beneath(directory, path, OFlags::RDONLY | OFlags::NONBLOCK) {
        // It is being built or removed: it needs nothing yet, or no more.
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        opened => File::from(opened?),
    };
    let mut text = Vec::new();
    file.take(LAYERS_MAX).read_to_end(&mut text)?;
    // Begun and not yet written; whoever writes it has its trees locked.
    if text.is_empty() { Ok(None) } else { Ok(Some(Layers::parse(&text)?)) }
}
