// SPDX-License-Identifier: Apache-2.0
//! References: which trees pods refer to, according to their directories, including those of pods being built. Pods of a
//! rendered tree refer to the trees that it was made of as well.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;

use pod::id::{PodId, TreeId};
use pod::layers::Layers;
use pod::layout;
use rustix::fs::{Dir, OFlags};
use rustix::io::Errno;

use crate::data_dir::DataDir;
use crate::error::{About as _, Result};
use crate::tree;
use sys::open_beneath;

/// The maximum length of a pod's description of its layers in bytes, enough for some hundred images.
const LAYERS_MAX: u64 = 1 << 20;

/// The pods that refer to each tree.
#[derive(Debug, Default)]
pub struct References {
    all: BTreeMap<TreeId, Vec<PodId>>,
    /// The pods that are complete and have the tree as their stage1.
    as_stage1: BTreeMap<TreeId, Vec<PodId>>,
}

impl References {
    /// Reads the references of every pod directory.
    ///
    /// # Errors
    /// If one can't be understood, since it might refer to any tree.
    pub fn read(data_dir: &DataDir) -> Result<Self> {
        let mut references = Self::default();
        for (directory, are_complete) in [(&data_dir.containers, true), (&data_dir.staging, false)] {
            for entry in Dir::read_from(directory).about(|| "cannot list the pods")? {
                let entry = entry.about(|| "cannot list the pods")?;
                let Some(id) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) else {
                    continue;
                };
                let layers = read(directory, id).about(|| format!("pod {id}: its {}", layout::LAYERS));
                let Some(layers) = layers? else { continue };
                for tree in layers.trees() {
                    references.all.entry(tree).or_default().push(id);
                }
                if let (Layers::Overlay { stage1, .. }, true) = (layers, are_complete) {
                    references.as_stage1.entry(stage1).or_default().push(id);
                }
            }
        }
        references.add_parts(data_dir)?;
        Ok(references)
    }

    /// Makes the pods of a rendered tree refer to what it was rendered of. `verify --repair` needs that.
    fn add_parts(&mut self, data_dir: &DataDir) -> Result<()> {
        let mut more: Vec<(TreeId, Vec<PodId>)> = Vec::new();
        for (id, pods) in &self.all {
            let info = tree::info_of(data_dir, *id).about(|| format!("cannot look at tree {id}"))?;
            let parts = info.and_then(|info| info.recipe).map(|recipe| recipe.trees).unwrap_or_default();
            more.extend(parts.into_iter().map(|part| (part, pods.clone())));
        }
        for (part, pods) in more {
            let all = self.all.entry(part).or_default();
            all.extend(pods);
            all.sort_unstable();
            all.dedup();
        }
        Ok(())
    }

    /// Returns the pods that refer to this tree.
    pub fn to(&self, tree: TreeId) -> &[PodId] {
        self.all.get(&tree).map_or(&[], Vec::as_slice)
    }

    /// Returns the pods of overlays that have this tree as their stage1, without those being built.
    pub fn as_stage1_to(&self, tree: TreeId) -> &[PodId] {
        self.as_stage1.get(&tree).map_or(&[], Vec::as_slice)
    }
}

/// Reads the description of a pod's layers, if there is one by now.
fn read(directory: &OwnedFd, id: PodId) -> Result<Option<Layers>> {
    let path = format!("{id}/{}", layout::LAYERS);
    let file = match open_beneath(directory, path, OFlags::RDONLY | OFlags::NONBLOCK) {
        // The pod is being built or removed, so it needs no tree yet, or no longer.
        Err(error) if matches!(error.errno, Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        opened => File::from(opened?),
    };
    let mut text = Vec::new();
    file.take(LAYERS_MAX).read_to_end(&mut text)?;
    // The file exists but is not written yet. The process that writes it holds locks on its trees.
    if text.is_empty() { Ok(None) } else { Ok(Some(Layers::parse(&text)?)) }
}
