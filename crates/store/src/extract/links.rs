// SPDX-License-Identifier: Apache-2.0
//! Objects with several names: which name was met first. Memory is bounded.

use std::collections::BTreeMap;

use pod::path::RelativePath;
use rustix::fs::Stat;

use crate::fault::Result;
use archive::Exceeded;

/// The most memory that an object with several names takes beside its first name.
const OVERHEAD: usize = 120;

/// The first names of objects that have more names to come.
#[derive(Debug)]
pub(super) struct Links {
    /// By device and inode, and how many names are to come.
    first: BTreeMap<(u64, u64), (RelativePath, u64)>,
    /// Bytes of memory that may still be used.
    budget: usize,
}

impl Links {
    /// Starts with none. At most `memory` bytes are kept.
    pub(super) fn new(memory: usize) -> Self {
        Self { first: BTreeMap::new(), budget: memory }
    }

    /// Returns the name under which the object at `path` was met before, if it was.
    ///
    /// # Errors
    /// If that takes too much memory.
    pub(super) fn first_name(&mut self, path: &RelativePath, stat: &Stat) -> Result<Option<RelativePath>> {
        if stat.st_nlink < 2 {
            return Ok(None);
        }
        let object = (stat.st_dev, stat.st_ino);
        if let Some((first, left)) = self.first.get_mut(&object) {
            *left -= 1;
            let (first, is_last) = (first.clone(), *left == 0);
            if is_last {
                self.first.remove(&object);
                self.budget += first.as_bytes().len() + OVERHEAD;
            }
            return Ok(Some(first));
        }
        let left = self.budget.checked_sub(path.as_bytes().len() + OVERHEAD);
        let too_many = || Exceeded::fixed("too many hard links: expected names of fewer bytes".into());
        self.budget = left.ok_or_else(too_many)?;
        self.first.insert(object, (path.clone(), stat.st_nlink - 1));
        Ok(None)
    }
}
