// SPDX-License-Identifier: Apache-2.0
//! Whiteouts: the objects of lower layers that one layer hides, collected in a first pass over the layer.
//!
//! A layer's whiteouts hide lower layers alone, wherever in the layer they stand. So all of them are known and applied
//! before the first object of the layer is made: the order of the layer's entries then means nothing.
//!
//! Invariants: memory is bounded by a budget, beyond which the layer is refused. Paths come in an order in which a
//! directory precedes what is below it. So once a whiteout has removed a symbolic link, no whiteout below that path is looked
//! up through the link.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher as _;

use pod::path::RelativePath;

use super::mark::Mark;
use crate::Exceeded;

/// The most memory that a path takes beside its bytes: a slot in a tree that is not full, and the allocator's overhead.
const OVERHEAD: usize = 112;
/// The most memory that a hash takes: a table has room for up to twice its items.
const HASH: usize = 24;

/// The objects that a layer hides.
#[derive(Debug)]
pub struct Whiteouts {
    hidden: BTreeMap<RelativePath, Hides>,
    /// A hash of each directory that the layer has an entry for. The key is random, so no layer can make two collide.
    directories: HashSet<u64>,
    hasher: RandomState,
    /// Bytes of memory that may still be used.
    budget: usize,
}

/// How much is hidden at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hides {
    /// What is below it.
    Below,
    /// It, and what is below it.
    All,
}

impl Whiteouts {
    /// Starts with none. At most `budget` bytes of memory are used.
    pub fn new(budget: usize) -> Self {
        let (hidden, directories) = (BTreeMap::new(), HashSet::new());
        Self { hidden, directories, hasher: RandomState::new(), budget }
    }

    /// Adds what an entry hides, if anything.
    ///
    /// # Errors
    /// If there is no memory left for it.
    pub fn add(&mut self, mark: Mark) -> Result<(), Exceeded> {
        let (path, hides) = match mark {
            Mark::Object | Mark::Aufs => return Ok(()),
            Mark::Whiteout(path) => (path, Hides::All),
            Mark::Opaque(path) => (path, Hides::Below),
        };
        if let Some(there) = self.hidden.get_mut(&path) {
            *there = hides.max(*there);
            return Ok(());
        }
        self.spend(path.as_bytes().len() + OVERHEAD)?;
        self.hidden.insert(path, hides);
        Ok(())
    }

    /// Notes that the layer has an entry for this directory, see [`Self::replaces`].
    ///
    /// # Errors
    /// If there is no memory left for it.
    pub fn add_directory(&mut self, path: &RelativePath) -> Result<(), Exceeded> {
        if self.directories.insert(self.hasher.hash_one(path.as_bytes())) {
            self.spend(HASH)?;
        }
        Ok(())
    }

    /// Tells whether the layer puts a directory of its own at this path, whatever lower layers have there.
    ///
    /// If that is a link, a whiteout below the path is about the layer's directory, not about the link's target.
    pub fn replaces(&self, path: &RelativePath) -> bool {
        self.directories.contains(&self.hasher.hash_one(path.as_bytes()))
    }

    /// Tells whether a whiteout that a second pass found was found in the first one, too.
    pub fn contains(&self, mark: &Mark) -> bool {
        match mark {
            Mark::Object | Mark::Aufs => true,
            Mark::Whiteout(path) => self.hidden.get(path) == Some(&Hides::All),
            Mark::Opaque(path) => self.hidden.contains_key(path),
        }
    }

    /// Lists what is hidden, a directory before what is below it.
    pub fn iter(&self) -> impl Iterator<Item = (&RelativePath, Hides)> {
        self.hidden.iter().map(|(path, hides)| (path, *hides))
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Exceeded> {
        let too_many = || Exceeded::fixed("too many whiteouts: expected names of fewer bytes".into());
        self.budget = self.budget.checked_sub(bytes).ok_or_else(too_many)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelativePath {
        RelativePath::from_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_directory_comes_before_what_is_below_it() {
        let mut all = Whiteouts::new(1 << 20);
        for name in ["d/e/.wh.f", ".wh.d-", "d/.wh..wh..opq", ".wh.d", "a", ".wh..wh.x", "d/.wh..wh..opq"] {
            all.add(Mark::of(&path(name)).unwrap()).unwrap();
        }
        let found: Vec<_> = all.iter().map(|(path, hides)| (path.clone(), hides)).collect();
        assert_eq!(found, [(path("d"), Hides::All), (path("d-"), Hides::All), (path("d/e/f"), Hides::All)]);
        assert!(all.contains(&Mark::Opaque(path("d"))) && !all.contains(&Mark::Whiteout(path("d/e"))));
    }

    #[test]
    fn a_whiteout_hides_more_than_an_opaque_mark_in_either_order() {
        for marks in [["d/.wh..wh..opq", ".wh.d"], [".wh.d", "d/.wh..wh..opq"]] {
            let mut all = Whiteouts::new(1 << 20);
            marks.iter().try_for_each(|name| all.add(Mark::of(&path(name)).unwrap())).unwrap();
            assert_eq!(all.iter().collect::<Vec<_>>(), [(&path("d"), Hides::All)]);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut all = Whiteouts::new(1 << 16);
        let mut add = |number| {
            all.add_directory(&path(&format!("d{number}")))?;
            all.add(Mark::Whiteout(path(&format!("x{number}"))))
        };
        let stopped = (0..10_000).find(|number| add(*number).is_err());
        assert!(stopped.is_some_and(|number| number > 100), "{stopped:?}");
    }
}
