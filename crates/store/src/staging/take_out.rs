// SPDX-License-Identifier: Apache-2.0
//! Takes trees out of the store and pods out of `containers/`: one rename moves each into staging, so that no half of it
//! is ever seen in its place, and it is removed there.

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;

use pod::id::PodId;
use rustix::fs::{RenameFlags, renameat_with};
use rustix::io::Errno;

use super::mounted;
use super::name::{ATTEMPTS, name_of, random};
use super::sweep::Locked;
use crate::data_dir::DataDir;
use crate::fault::{Fault, Within as _};
use crate::unremoved::Unremoved;

/// Removes the store's tree `name`, which is locked, so that no sweep interferes.
///
/// # Errors
/// If that fails. A tree that something is mounted in stays in the store, complete.
pub fn remove_from_store(data_dir: &DataDir, name: &CStr, _locked: Locked) -> Result<(), Unremoved> {
    mounted::check_tree(data_dir, name)?;
    take_out(data_dir, &data_dir.trees, name, PodId::from_random)
}

/// Removes the pod directory `name`, which is locked, so that its pod can't be started and no sweep interferes.
///
/// In staging it has a name that no pod has ([`PodId::for_removal`]). Its references to trees count until its layers are
/// removed.
///
/// # Errors
/// If that fails. A pod directory that something is mounted in stays in its place, complete.
pub fn remove_pod(data_dir: &DataDir, name: &CStr, _locked: Locked) -> Result<(), Unremoved> {
    mounted::check_pod(data_dir, name)?;
    take_out(data_dir, &data_dir.containers, name, PodId::for_removal)
}

/// Moves `name` from `parent` into staging, under a name that `id` makes of random bytes, and removes it there.
fn take_out(
    data_dir: &DataDir,
    parent: &OwnedFd,
    name: &CStr,
    id: fn([u8; 16]) -> PodId,
) -> Result<(), Unremoved> {
    for _ in 0..ATTEMPTS {
        let dead = name_of(id(random()?));
        match renameat_with(parent, name, &data_dir.staging, &dead, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            Err(Errno::NOENT) => return Ok(()),
            done => {
                done.within(|| "cannot take it out")?;
                return mounted::remove_all(data_dir, &dead)
                    .map_err(|error| error.within("cannot remove it"));
            }
        }
    }
    Err(Fault::System(io::Error::other(format!("cannot take it out: {ATTEMPTS} names were taken"))).into())
}
