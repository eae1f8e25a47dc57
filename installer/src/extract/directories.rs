// SPDX-License-Identifier: Apache-2.0
//! The directories of a tree being written: which ones an entry has named, and what they shall look like at the end.
//!
//! Their metadata has to wait: each file made in a directory changes its mtime. Memory is bounded.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use pod::path::RelativePath;

use crate::archive::{Metadata, Xattr};

/// What a directory costs beside its name and attributes, roughly.
const OVERHEAD: usize = 160;

/// Directories by path.
#[derive(Debug)]
pub(super) struct Directories {
    /// `None` for those no entry has named, which only came into being as parents.
    known: HashMap<RelativePath, Option<Metadata>>,
    /// Bytes of memory that may still be used.
    budget: usize,
}

impl Directories {
    /// Only the root, which no entry has named.
    pub(super) fn new(budget: usize) -> Self {
        Self { known: HashMap::from([(RelativePath::default(), None)]), budget }
    }

    /// Whether there is such a directory.
    pub(super) fn contains(&self, path: &RelativePath) -> bool {
        self.known.contains_key(path)
    }

    /// A parent came into being.
    pub(super) fn add_implied(&mut self, path: RelativePath) -> Result<()> {
        self.spend(path.as_bytes().len() + OVERHEAD)?;
        self.known.insert(path, None);
        Ok(())
    }

    /// An entry names a directory that is there.
    pub(super) fn name(&mut self, path: RelativePath, metadata: Metadata) -> Result<()> {
        let attributes: usize = metadata.xattrs.iter().map(size).sum();
        self.spend(path.as_bytes().len() + OVERHEAD + attributes)?;
        let before = self.known.insert(path, Some(metadata));
        ensure!(!matches!(before, Some(Some(_))), "stands twice in the archive: expected once");
        Ok(())
    }

    /// All of them, deepest first.
    pub(super) fn into_deepest_first(self) -> Vec<(RelativePath, Option<Metadata>)> {
        let mut all: Vec<_> = self.known.into_iter().collect();
        all.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        all
    }

    fn spend(&mut self, bytes: usize) -> Result<()> {
        let left = self.budget.checked_sub(bytes);
        ensure!(left.is_some(), "too many directories: expected names and attributes of fewer bytes");
        self.budget = left.unwrap_or_default();
        Ok(())
    }
}

fn size(xattr: &Xattr) -> usize {
    xattr.name().len() + xattr.value().len() + 64
}
