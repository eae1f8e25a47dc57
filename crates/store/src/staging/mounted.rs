// SPDX-License-Identifier: Apache-2.0
//! What is in DIR and is to be removed, and has something mounted on it or below it: it stays, and where that is is
//! told. A person has mounted it, and would lose what nobody thought of.

use std::ffi::CStr;
use std::path::PathBuf;

use anyhow::Result;
use pod::layout;
use pod::text::one_line;

use super::remove::{self, Obstacle};
use crate::home::Home;

/// Something is mounted at this path, in what is to be removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is a mount point: expected none in what is to be removed", one_line(&.0.to_string_lossy()))]
pub struct Mounted(PathBuf);

/// Looks whether anything is mounted in the store's tree `name`.
pub(super) fn check_tree(home: &Home, name: &CStr) -> Result<()> {
    in_words(home, layout::TREES, remove::check(&home.trees, name))
}

/// Removes staging's `name`.
pub(super) fn remove(home: &Home, name: &CStr) -> Result<()> {
    in_words(home, layout::STAGING, remove::remove_tree(&home.staging, name))
}

/// Likewise all of it that can go, whatever can't; the next run's sweep has the rest.
pub(super) fn remove_all(home: &Home, name: &CStr) -> Result<()> {
    let removed = remove(home, name);
    if removed.is_err() {
        let _ = remove(home, name);
    }
    removed
}

/// What removing came to, where a mount is no trouble of the system's.
///
/// # Errors
/// All others.
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
