// SPDX-License-Identifier: Apache-2.0
//! The directories of a tree being written: which of them an entry has named, and which metadata they still lack.
//!
//! Most of a directory's metadata is set when an entry names it. Two things have to wait: the mtime, which changes with
//! each object made in the directory, and what such an object would inherit, which is the set-group-id bit and the
//! default ACL. Memory is bounded.

use std::collections::BTreeMap;

use pod::path::RelativePath;

use crate::fault::Result;
use archive::{Exceeded, Metadata, Timestamp, Xattr};

/// The most memory a directory takes beside its name: a slot in a tree that is not full, and the allocator's overhead.
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

/// The metadata a directory still lacks. All zero for a directory that no entry has named, which was made only as a
/// parent.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    mtime: Timestamp,
    is_named: bool,
    has_set_group_id: bool,
}

/// The metadata a directory gets once all objects exist.
#[derive(Debug)]
pub(super) struct Last {
    pub(super) is_named: bool,
    pub(super) mtime: Timestamp,
    pub(super) has_set_group_id: bool,
    pub(super) default_acl: Option<Xattr>,
}

impl Directories {
    /// Starts with the root alone, which no entry has named.
    pub(super) fn new(budget: usize) -> Self {
        let known = BTreeMap::from([(RelativePath::default(), State::default())]);
        Self { known, default_acls: BTreeMap::new(), budget }
    }

    /// Tells whether the directory exists.
    pub(super) fn contains(&self, path: &RelativePath) -> bool {
        self.known.contains_key(path)
    }

    /// Tells whether an entry has named the directory.
    pub(super) fn is_named(&self, path: &RelativePath) -> bool {
        self.known.get(path).is_some_and(|there| there.is_named)
    }

    /// Adds a directory that was made only as a parent.
    pub(super) fn add_implied(&mut self, path: RelativePath) -> Result<()> {
        self.spend(path.as_bytes().len() + OVERHEAD)?;
        self.known.insert(path, State::default());
        Ok(())
    }

    /// Records that an entry names an existing directory, maybe again, and returns the metadata it gets now.
    pub(super) fn name(&mut self, path: &RelativePath, metadata: &Metadata) -> Result<Metadata> {
        let mut now = metadata.clone();
        now.mode &= !SET_GROUP_ID;
        now.xattrs.retain(|xattr| xattr.name() != DEFAULT_ACL);
        self.forget_acl(path);
        for xattr in metadata.xattrs.iter().filter(|xattr| xattr.name() == DEFAULT_ACL) {
            self.spend(path.as_bytes().len() + xattr.value().len() + 2 * OVERHEAD)?;
            self.default_acls.insert(path.clone(), xattr.clone());
        }
        let has_set_group_id = metadata.mode & SET_GROUP_ID != 0;
        let state = State { mtime: metadata.mtime, is_named: true, has_set_group_id };
        if let Some(there) = self.known.get_mut(path) {
            *there = state;
        } else {
            self.spend(path.as_bytes().len() + OVERHEAD)?;
            self.known.insert(path.clone(), state);
        }
        Ok(now)
    }

    /// Forgets the directories below `path`, and returns them: each precedes what is below it.
    pub(super) fn take_below(&mut self, path: &RelativePath) -> Vec<RelativePath> {
        // The first name that a directory below it can have.
        let first = [path.as_bytes(), b"\x01"].join(&b'/');
        let Ok(first) = RelativePath::from_bytes(&first) else { return Vec::new() };
        let is_below = |other: &RelativePath| {
            let rest = other.as_bytes().strip_prefix(path.as_bytes());
            path.as_bytes().is_empty() || rest.is_some_and(|rest| rest.starts_with(b"/"))
        };
        let below = self.known.range(first..).map(|(path, _)| path).take_while(|other| is_below(other));
        let below: Vec<_> = below.cloned().collect();
        below.iter().for_each(|path| self.forget(path));
        below
    }

    /// Forgets the directory `path`, which is there no more.
    pub(super) fn forget(&mut self, path: &RelativePath) {
        if self.known.remove(path).is_some() {
            self.budget += path.as_bytes().len() + OVERHEAD;
        }
        self.forget_acl(path);
    }

    /// Lists the directories: each precedes what is below it.
    pub(super) fn iter(&self) -> impl Iterator<Item = &RelativePath> {
        self.known.keys()
    }

    fn forget_acl(&mut self, path: &RelativePath) {
        if let Some(acl) = self.default_acls.remove(path) {
            self.budget += path.as_bytes().len() + acl.value().len() + 2 * OVERHEAD;
        }
    }

    /// Returns what each directory gets at the end, deepest first.
    pub(super) fn into_deepest_first(self) -> impl Iterator<Item = (RelativePath, Last)> {
        let Self { known, mut default_acls, .. } = self;
        known.into_iter().rev().map(move |(path, state)| {
            let State { mtime, is_named, has_set_group_id } = state;
            let default_acl = default_acls.remove(&path);
            (path, Last { is_named, mtime, has_set_group_id, default_acl })
        })
    }

    /// Takes memory for a hard link that has to wait for its target.
    pub(super) fn spend_on_link(&mut self, names: usize) -> Result<()> {
        self.spend_on(names + OVERHEAD, "hard links before their targets")
    }

    fn spend(&mut self, bytes: usize) -> Result<()> {
        self.spend_on(bytes, "directories")
    }

    fn spend_on(&mut self, bytes: usize, what: &str) -> Result<()> {
        let left = self.budget.checked_sub(bytes);
        let too_many = || Exceeded::fixed(format!("too many {what}: expected names of fewer bytes"));
        self.budget = left.ok_or_else(too_many)?;
        Ok(())
    }
}
