// SPDX-License-Identifier: Apache-2.0
//! Refuses to remove anything in DIR that has something mounted on it or below it.
//!
//! Such a directory stays, and the mount point is reported: a person has mounted it, and would lose data unexpectedly.

use std::ffi::CStr;
use std::path::PathBuf;

use anyhow::Result;
use pod::layout;
use pod::text::one_line;

use super::remove::{self, Obstacle};
use crate::home::Home;

/// The path of a mount point in a directory that is to be removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is a mount point: expected none in what is to be removed", one_line(&.0.to_string_lossy()))]
pub struct Mounted(PathBuf);

/// Checks that nothing is mounted in the store's tree `name`.
pub(super) fn check_tree(home: &Home, name: &CStr) -> Result<()> {
    in_words(home, layout::TREES, remove::check(&home.trees, name))
}

/// Removes `name` in staging.
pub(super) fn remove(home: &Home, name: &CStr) -> Result<()> {
    in_words(home, layout::STAGING, remove::remove_tree(&home.staging, name))
}

/// Removes `name` in staging as far as possible: an error is followed by a second attempt. The next run's sweep removes
/// the rest.
pub(super) fn remove_all(home: &Home, name: &CStr) -> Result<()> {
    let removed = remove(home, name);
    if removed.is_err() {
        let _ = remove(home, name);
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

fn in_words(home: &Home, directory: &str, removed: Result<(), Obstacle>) -> Result<()> {
    removed.map_err(|obstacle| match obstacle {
        Obstacle::Mounted(path) => Mounted(home.path().join(directory).join(path)).into(),
        Obstacle::System(errno) => errno.into(),
    })
}
