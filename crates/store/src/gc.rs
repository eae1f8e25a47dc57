// SPDX-License-Identifier: Apache-2.0
//! Removes trees from the store.
//!
//! A tree is first locked exclusively, and the pods' references are read only then. A process that makes a pod of a
//! tree holds a lock on the tree. So either the exclusive lock can't be had, or the pod can already be seen. A store
//! may have more trees than a process may have descriptors, so trees are locked and removed in small batches.

use pod::id::{PodId, TreeId};

use crate::damage::damage_or_error;
use crate::data_dir::DataDir;
use crate::error::{About as _, Result};
use crate::overlay;
use crate::references::References;
use crate::staging::{self, Locked, Mounted};
use crate::tree::{self, ids, read_info};
use crate::{alias, blobs, info::Info, names};

/// How many trees are locked at once.
const BATCH: usize = 32;

/// The reason why a tree was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Pods refer to it.
    Referred(Vec<PodId>),
    /// It is in use by another process.
    InUse,
    /// Something is mounted in it.
    Mounted(Mounted),
    /// The store has no such tree.
    Missing,
}

/// The result of removing a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there are few at a time")]
pub enum Collected {
    /// It was removed, and this is its info; `None` if that was damaged.
    Removed(Option<Info>),
    /// It was kept, for this reason.
    Kept(Kept),
}

/// Removes every tree that no pod refers to and no process uses, and what belongs to trees that are not there.
pub fn collect(data_dir: &DataDir) -> Result<Vec<(TreeId, Collected)>> {
    let collected = remove(data_dir, &ids(data_dir)?)?;
    sweep(data_dir)?;
    forget_if_empty(data_dir)?;
    Ok(collected)
}

/// Removes what belongs to trees that are not there: aliases, names, and then the blobs that no image is made of.
///
/// # Errors
/// If the system fails, or the names can't be understood.
pub fn sweep(data_dir: &DataDir) -> Result<()> {
    sweep_names(data_dir)?;
    blobs::sweep(data_dir)
}

/// Does the same, but leaves all blobs: a command that failed finds them when it is repeated.
///
/// # Errors
/// As [`sweep`].
pub fn sweep_names(data_dir: &DataDir) -> Result<()> {
    alias::sweep(data_dir)?;
    names::sweep(data_dir)
}

/// Forgets what is known about overlays if the store has no trees.
///
/// An empty store is then as it was when it was made.
pub fn forget_if_empty(data_dir: &DataDir) -> Result<()> {
    if ids(data_dir)?.is_empty() { overlay::forget(data_dir) } else { Ok(()) }
}

/// Removes these trees, except those that a pod refers to or a process uses.
pub fn remove(data_dir: &DataDir, trees: &[TreeId]) -> Result<Vec<(TreeId, Collected)>> {
    let mut collected = Vec::new();
    for batch in trees.chunks(BATCH) {
        remove_batch(data_dir, batch, &mut collected)?;
    }
    Ok(collected)
}

fn remove_batch(
    data_dir: &DataDir,
    trees: &[TreeId],
    collected: &mut Vec<(TreeId, Collected)>,
) -> Result<()> {
    let mut alone: Vec<(TreeId, Locked)> = Vec::new();
    for id in trees {
        let name = tree::name(*id);
        match staging::lock(&data_dir.trees, &name).about(|| format!("cannot lock tree {id}"))? {
            Some(locked) => alone.push((*id, locked)),
            None if is_missing(data_dir, *id) => collected.push((*id, Collected::Kept(Kept::Missing))),
            None => collected.push((*id, Collected::Kept(Kept::InUse))),
        }
    }
    // Only now that the trees are locked: see the module's documentation.
    let references = References::read(data_dir)?;
    for (id, locked) in alone {
        let pods = references.to(id);
        if pods.is_empty() {
            let about = || format!("cannot remove tree {id}");
            let info = damage_or_error(read_info(&locked.directory)).about(about)?.ok();
            let removed = staging::remove_from_store(data_dir, &tree::name(id), locked);
            let done = match staging::damage_or_error(removed).about(about)? {
                Ok(()) => Collected::Removed(info),
                Err(mounted) => Collected::Kept(Kept::Mounted(mounted)),
            };
            collected.push((id, done));
        } else {
            collected.push((id, Collected::Kept(Kept::Referred(pods.to_vec()))));
        }
    }
    Ok(())
}

fn is_missing(data_dir: &DataDir, id: TreeId) -> bool {
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::statat(&data_dir.trees, tree::name(id), flags).is_err()
}
