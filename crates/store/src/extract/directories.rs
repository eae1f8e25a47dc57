// SPDX-License-Identifier: Apache-2.0
//! The directories of a tree being written: which ones an entry has named, and what they still lack.
//!
//! Most of their metadata is set when they are named. What has to wait is the mtime, which each object made in a
//! directory changes, and what such an object would inherit: the set-group-id bit and the default ACL. Memory is
//! bounded.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use pod::path::RelativePath;

use archive::{Exceeded, Metadata, Timestamp, Xattr};

/// What a directory costs beside its name, at most: a place in a tree that is not full, and the allocator's share.
const OVERHEAD: usize = 112;
const SET_GROUP_ID: u32 = 0o2000;
const DEFAULT_ACL: &str = "system.posix_acl_default";

/// Directories by path.
#[derive(Debug)]
pub(super) struct Directories {
    known: BTreeMap<RelativePath, State>,
    default_acls: BTreeMap<RelativePath, Xattr>,
    /// Bytes of memory that may still be used.
    budget: usize,
}

/// What a directory lacks; all zero for one that no entry has named, which only came into being as a parent.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    mtime: Timestamp,
    is_named: bool,
    has_set_group_id: bool,
}

/// What a directory gets at last.
#[derive(Debug)]
pub(super) struct Last {
    pub(super) is_named: bool,
    pub(super) mtime: Timestamp,
    pub(super) has_set_group_id: bool,
    pub(super) default_acl: Option<Xattr>,
}

impl Directories {
    /// Only the root, which no entry has named.
    pub(super) fn new(budget: usize) -> Self {
        let known = BTreeMap::from([(RelativePath::default(), State::default())]);
        Self { known, default_acls: BTreeMap::new(), budget }
    }

    /// Whether there is such a directory.
    pub(super) fn contains(&self, path: &RelativePath) -> bool {
        self.known.contains_key(path)
    }

    /// A parent came into being.
    pub(super) fn add_implied(&mut self, path: RelativePath) -> Result<()> {
        self.spend(path.as_bytes().len() + OVERHEAD)?;
        self.known.insert(path, State::default());
        Ok(())
    }

    /// An entry names a directory that is there. What it gets now.
    pub(super) fn name(&mut self, path: &RelativePath, metadata: &Metadata) -> Result<Metadata> {
        let mut now = metadata.clone();
        now.mode &= !SET_GROUP_ID;
        now.xattrs.retain(|xattr| xattr.name() != DEFAULT_ACL);
        for xattr in metadata.xattrs.iter().filter(|xattr| xattr.name() == DEFAULT_ACL) {
            self.spend(path.as_bytes().len() + xattr.value().len() + 2 * OVERHEAD)?;
            self.default_acls.insert(path.clone(), xattr.clone());
        }
        let has_set_group_id = metadata.mode & SET_GROUP_ID != 0;
        let state = State { mtime: metadata.mtime, is_named: true, has_set_group_id };
        if let Some(there) = self.known.get_mut(path) {
            ensure!(!there.is_named, "stands twice in the archive: expected once");
            *there = state;
        } else {
            self.spend(path.as_bytes().len() + OVERHEAD)?;
            self.known.insert(path.clone(), state);
        }
        Ok(now)
    }

    /// What all of them get at last, deepest first.
    pub(super) fn into_deepest_first(self) -> impl Iterator<Item = (RelativePath, Last)> {
        let Self { known, mut default_acls, .. } = self;
        known.into_iter().rev().map(move |(path, state)| {
            let State { mtime, is_named, has_set_group_id } = state;
            let default_acl = default_acls.remove(&path);
            (path, Last { is_named, mtime, has_set_group_id, default_acl })
        })
    }

    fn spend(&mut self, bytes: usize) -> Result<()> {
        let left = self.budget.checked_sub(bytes);
        let too_many = || Exceeded::fixed("too many directories: expected names of fewer bytes".into());
        self.budget = left.ok_or_else(too_many)?;
        Ok(())
    }
}
