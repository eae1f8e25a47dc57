// SPDX-License-Identifier: Apache-2.0
//! Refuses to remove anything in DIR that has something mounted on it or below it.
//!
//! Such a directory stays, and the mount point is reported: a person has mounted it, and would lose data unexpectedly.

use std::ffi::CStr;
use std::path::PathBuf;

use pod::layout;
use pod::text::one_line;

use crate::data_dir::DataDir;
use crate::fault::Fault;
use sys::remove::{self, Obstacle};

/// The path of a mount point in a directory that is to be removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is a mount point: expected none in what is to be removed", one_line(&.0.to_string_lossy()))]
pub struct Mounted(PathBuf);

/// The reason why something in DIR was not removed.
#[derive(Debug, thiserror::Error)]
pub enum Unremoved {
    /// Something is mounted in it.
    #[error(transparent)]
    Mounted(#[from] Mounted),
    /// Any other error.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Unremoved {
    /// Says in which step of a removal an error is. A mount point needs no such explanation.
    pub(super) fn within(self, about: &str) -> Self {
        match self {
            Self::Fault(fault) => Self::Fault(fault.at(about)),
            mounted => mounted,
        }
    }
}

/// Checks that nothing is mounted in the store's tree `name`.
pub(super) fn check_tree(data_dir: &DataDir, name: &CStr) -> Result<(), Unremoved> {
    in_words(data_dir, layout::TREES, remove::check(&data_dir.trees, name))
}

/// Checks that nothing is mounted in the pod directory `name`.
pub(super) fn check_pod(data_dir: &DataDir, name: &CStr) -> Result<(), Unremoved> {
    in_words(data_dir, layout::CONTAINERS, remove::check(&data_dir.containers, name))
}

/// Removes `name` in staging.
pub(super) fn remove(data_dir: &DataDir, name: &CStr) -> Result<(), Unremoved> {
    in_words(data_dir, layout::STAGING, remove::remove_tree(&data_dir.staging, name))
}

/// Removes `name` in staging as far as possible: an error is followed by a second attempt. The next run's sweep removes
/// the rest.
pub(super) fn remove_all(data_dir: &DataDir, name: &CStr) -> Result<(), Unremoved> {
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
pub fn told_apart<T>(removed: Result<T, Unremoved>) -> Result<Result<T, Mounted>, Fault> {
    match removed {
        Ok(done) => Ok(Ok(done)),
        Err(Unremoved::Mounted(mounted)) => Ok(Err(mounted)),
        Err(Unremoved::Fault(fault)) => Err(fault),
    }
}

fn in_words(data_dir: &DataDir, directory: &str, removed: Result<(), Obstacle>) -> Result<(), Unremoved> {
    removed.map_err(|obstacle| match obstacle {
        Obstacle::Mounted(path) => Mounted(data_dir.path().join(directory).join(path)).into(),
        Obstacle::System(errno) => Fault::from(errno).into(),
    })
}
