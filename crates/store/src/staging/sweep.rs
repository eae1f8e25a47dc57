// SPDX-License-Identifier: Apache-2.0
//! Removes what dead runs left behind: entries of `staging/` that no process has locked.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use pod::id::PodId;
use rustix::fs::Dir;

use super::mounted;
use crate::data_dir::DataDir;
use crate::error::{About as _, Result};
use crate::fault::Fault;
use crate::unpacker;
use crate::unremoved::{Mounted, Unremoved, damage_or_error};
use sys::locks::lock_alone;

/// Removes every dead entry of `staging/`, and returns those that stay because something is mounted in them. Entries
/// with names that Gantry doesn't use are not its own and stay as well.
pub(super) fn sweep(data_dir: &DataDir) -> Result<Vec<Mounted>> {
    let mut all = Vec::new();
    for entry in Dir::read_from(&data_dir.staging).about(|| "cannot list staging")? {
        let entry = entry.about(|| "cannot list staging")?;
        let name = entry.file_name();
        if name.to_str().is_ok_and(|name| name.parse::<PodId>().is_ok()) {
            let swept = damage_or_error(sweep_one(data_dir, name))
                .about(|| format!("cannot remove the dead staging/{}", name.to_string_lossy()))?;
            all.extend(swept.err());
        }
    }
    Ok(all)
}

fn sweep_one(data_dir: &DataDir, name: &CStr) -> Result<(), Unremoved> {
    match lock(&data_dir.staging, name).map_err(Fault::from)? {
        // A worker may outlive its installer for a moment.
        Some(locked) if unpacker::is_at_work(&locked.directory).map_err(Fault::from)? => Ok(()),
        // The lock is held during the removal, so that two sweeps don't work on the same entry.
        Some(_locked) => mounted::remove(data_dir, name),
        None => Ok(()),
    }
}

/// An entry that no other process works in.
#[derive(Debug)]
pub struct Locked {
    /// The directory, whose descriptor holds the lock.
    pub directory: OwnedFd,
}

/// Locks the directory `name` exclusively. Returns `None` if another process has the lock, or the directory is gone.
///
/// # Errors
/// Returns the system's error.
pub fn lock(staging: &OwnedFd, name: &CStr) -> Result<Option<Locked>, sys::Error> {
    Ok(lock_alone(staging, name)?.map(|directory| Locked { directory }))
}
