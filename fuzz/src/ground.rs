// SPDX-License-Identifier: Apache-2.0
//! A directory to unpack into, beside a canary. It is used again and again.

use std::fs::{self, File, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::canary::Canary;

const ROOT: &str = "root";

/// The directory and the canary.
#[derive(Debug)]
pub(crate) struct Ground {
    outer: tempfile::TempDir,
    canary: Canary,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        let canary = Canary::new(outer.path(), ROOT);
        Self { outer, canary }
    }

    /// Calls `unpack` with an empty directory, checks that nothing beside it changed, and calls `check` with its path
    /// and the result.
    pub(crate) fn within<T, U>(
        &self,
        unpack: impl FnOnce(OwnedFd) -> T,
        check: impl FnOnce(&Path, T) -> U,
    ) -> U {
        let root = self.root();
        fs::create_dir(&root).unwrap();
        let unpacked = unpack(File::open(&root).unwrap().into());
        self.canary.check();
        let checked = check(&root, unpacked);
        remove(&root);
        checked
    }

    fn root(&self) -> PathBuf {
        self.outer.path().join(ROOT)
    }
}

/// Removes a tree whose directories may be closed to their owner.
fn remove(directory: &Path) {
    fs::set_permissions(directory, Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            remove(&entry.path());
        } else {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    fs::remove_dir(directory).unwrap();
}
