// SPDX-License-Identifier: Apache-2.0
//! Refuses to remove anything in DIR that has something mounted on it or below it.
//!
//! Such a directory stays, and the mount point is reported: a person has mounted it, and would lose data unexpectedly.

use std::ffi::CStr;
use std::path::PathBuf;

use anyhow::Result;
use pod::layout;
use pod::text::one_line;

use crate::data_dir::DataDir;
use sys::remove::{self, Obstacle};

/// The path of a mount point in a directory that is to be removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is a mount point: expected none in what is to be removed", one_line(&.0.to_string_lossy()))]
pub struct Mounted(PathBuf);

/// Checks that nothing is mounted in the store's tree `name`.
pub(super) fn check_tree(data_dir: &DataDir, name: &CStr) -> Result<()> {
    in_words(data_dir, layout::TREES, remove::check(&data_dir.trees, name))
}

/// Removes `name` in staging.
pub(super) fn remove(data_dir: &DataDir, name: &CStr) -> Result<()> {
    in_words(data_dir, layout::STAGING, remove::remove_tree(&data_dir.staging, name))
}

/// Removes `name` in staging as far as possible: an error is followed by a second attempt. The next run's sweep removes
/// the rest.
pub(super) fn remove_all(data_dir: &DataDir, name: &CStr) -> Result<()> {
    let removed = remove(data_dir, name);
    if removed.is_err() {
        let _ = remove(data_dir, name);
    }
    removed
}

/// Separates mounts from all other errors of a removal.
///
/// # Errors
/// All errors except for a mount.
pub fn told_apart<T>(removed: Result<T>) -> Result<Result<T, Mounted>> {
    match removed {
        Ok(done) => Ok(Ok(done)),
        Err(error) => error.downcast().map(Err),
    }
}

fn in_words(data_dir: &DataDir, directory: &str, removed: Result<(), Obstacle>) -> Result<()> {
    removed.map_err(|obstacle| match obstacle {
        Obstacle::Mounted(path) => Mounted(data_dir.path().join(directory).join(path)).into(),
        Obstacle::System(errno) => errno.into(),
    })
}
