// SPDX-License-Identifier: Apache-2.0
//! Taking trees out of the store.
//!
//! A tree is locked alone first; then pods are asked. Whoever is making a pod of it has it locked, so either the lock
//! can't be had, or the pod is there to be seen. A store may have more trees than there are descriptors, so that is done
//! with a few at a time.

use anyhow::{Context, Result};
use pod::digest::Digest;
use pod::id::PodId;

use crate::damage::told_apart;
use crate::home::Home;
use crate::overlay;
use crate::references::References;
use crate::staging::{self, Locked, Mounted};
use crate::tree::{self, ids, read_info};
use crate::{alias, info::Info};

/// So many are locked at once.
const BATCH: usize = 32;

/// Why a tree stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Pods refer to it.
    Referred(Vec<PodId>),
    /// Somebody is at work with it.
    InUse,
    /// Something is mounted in it.
    Mounted(Mounted),
    /// It was not there.
    Missing,
}

/// What became of one tree.
pub(crate) type Outcome = (Digest, Result<Option<Info>, Kept>);

/// Removes every tree that no pod refers to and nobody uses, and names that lead nowhere.
pub fn collect(home: &Home) -> Result<Vec<Outcome>> {
    let outcomes = remove(home, &ids(home)?)?;
    alias::sweep(home)?;
    forget_if_empty(home)?;
    Ok(outcomes)
}

/// A store without trees is as it was when it was made.
pub fn forget_if_empty(home: &Home) -> Result<()> {
    if ids(home)?.is_empty() { overlay::forget(home) } else { Ok(()) }
}

/// Removes these trees, each unless a pod refers to it or somebody uses it.
pub fn remove(home: &Home, trees: &[Digest]) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for batch in trees.chunks(BATCH) {
        remove_batch(home, batch, &mut outcomes)?;
    }
    Ok(outcomes)
}

fn remove_batch(home: &Home, trees: &[Digest], outcomes: &mut Vec<Outcome>) -> Result<()> {
    let mut alone: Vec<(Digest, Locked)> = Vec::new();
    for id in trees {
        let name = tree::name(*id);
        match staging::lock(&home.trees, &name).with_context(|| format!("cannot lock tree {id}"))? {
            Some(locked) => alone.push((*id, locked)),
            None if is_missing(home, *id) => outcomes.push((*id, Err(Kept::Missing))),
            None => outcomes.push((*id, Err(Kept::InUse))),
        }
    }
    // Only now: see above.
    let references = References::read(home)?;
    for (id, locked) in alone {
        let pods = references.to(id);
        if pods.is_empty() {
            let about = || format!("cannot remove tree {id}");
            let info = told_apart(read_info(&locked.directory)).with_context(about)?.ok();
            let removed = staging::remove_from_store(home, &tree::name(id), locked);
            let removed = staging::told_apart(removed).with_context(about)?;
            outcomes.push((id, removed.map(|()| info).map_err(Kept::Mounted)));
        } else {
            outcomes.push((id, Err(Kept::Referred(pods.to_vec()))));
        }
    }
    Ok(())
}

fn is_missing(home: &Home, id: Digest) -> bool {
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::statat(&home.trees, tree::name(id), flags).is_err()
}
