// SPDX-License-Identifier: Apache-2.0
//! Removes a pod directory: one rename takes it out of `containers/`, so that no half of it is ever seen there.

use std::ffi::{CStr, CString};
use std::io;

use pod::id::PodId;
use rustix::fs::{RenameFlags, renameat_with};
use rustix::io::Errno;

use super::{ATTEMPTS, Locked, Unremoved, mounted, name_of};
use crate::data_dir::DataDir;
use crate::fault::{Fault, Within as _};

/// Removes the pod directory `name`, which is locked, so that its pod can't be started and no sweep interferes.
///
/// In staging it has a name that no pod has ([`PodId::for_removal`]). Its references to trees count until its layers are
/// removed.
///
/// # Errors
/// If that fails. A pod directory that something is mounted in stays in its place, complete.
pub fn remove_pod(data_dir: &DataDir, name: &CStr, _locked: Locked) -> Result<(), Unremoved> {
    mounted::check_pod(data_dir, name)?;
    for _ in 0..ATTEMPTS {
        let dead: CString = name_of(removal_id()?);
        match renameat_with(&data_dir.containers, name, &data_dir.staging, &dead, RenameFlags::NOREPLACE) {
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

fn removal_id() -> Result<PodId, Fault> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other).within(|| "cannot get random bytes")?;
    Ok(PodId::for_removal(random))
}
