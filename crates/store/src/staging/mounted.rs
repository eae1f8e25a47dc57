// SPDX-License-Identifier: Apache-2.0
//! Refuses to remove anything in DIR that has something mounted on it or below it.
//!
//! Such a directory stays, and the mount point is reported: a person has mounted it, and would lose data unexpectedly.

use std::ffi::CStr;

use pod::layout;

use crate::data_dir::DataDir;
use crate::fault::Fault;
use crate::unremoved::{Mounted, Unremoved};
use sys::remove::{self, Obstacle};

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

fn in_words(data_dir: &DataDir, directory: &str, removed: Result<(), Obstacle>) -> Result<(), Unremoved> {
    removed.map_err(|obstacle| match obstacle {
        Obstacle::Mounted(path) => Mounted(data_dir.path().join(directory).join(path)).into(),
        Obstacle::System(errno) => Fault::from(errno).into(),
    })
}
