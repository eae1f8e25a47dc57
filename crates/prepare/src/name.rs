// SPDX-License-Identifier: Apache-2.0
//! A claim on a pod's name: as long as it is held, no other process gives a pod a name.
//!
//! Names are files in the pod directories, so that a pod that is moved or removed takes its name along. To give a pod
//! a name, a process locks `containers/` until the pod directory is there.

use std::os::fd::AsFd;

use anyhow::{Context as _, Result, anyhow};
use pod::id::PodId;
use pod::{PodName, layout};
use report::Hint as _;
use rustix::fs::{Dir, FlockOperation, OFlags, flock};
use rustix::io::{Errno, read};
use store::DataDir;
use sys::{locks, open_beneath};

/// The lock on all names. It is released on drop.
#[derive(Debug)]
pub(crate) struct Claim<'h>(&'h DataDir);

impl<'h> Claim<'h> {
    /// Claims a name.
    ///
    /// # Errors
    /// If a pod has it, or if a signal ends the wait for the lock.
    pub(crate) fn on(data_dir: &'h DataDir, name: &PodName) -> Result<Self> {
        locks::alone(&data_dir.containers, &data_dir.interrupt).context("cannot lock the pods' names")?;
        let claim = Self(data_dir);
        match holder(&data_dir.containers, name).context("cannot look up the pods' names")? {
            None => Ok(claim),
            Some(id) => Err(anyhow!("name {name} is taken by pod {id}: expected another name"))
                .hint(format!("{} rm {name} frees it", report::program())),
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let _ = flock(&self.0.containers, FlockOperation::Unlock);
    }
}

/// Returns the pod that has a name.
fn holder(containers: impl AsFd, name: &PodName) -> Result<Option<PodId>> {
    for entry in Dir::read_from(&containers)? {
        let entry = entry?;
        let Ok(id) = entry.file_name().to_string_lossy().parse::<PodId>() else { continue };
        let file = match open_beneath(&containers, format!("{id}/{}", layout::NAME), OFlags::RDONLY)
            .map_err(Errno::from)
        {
            // It has none, or it is being removed.
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            opened => opened?,
        };
        let mut text = [0; 256];
        let length = read(&file, &mut text)?;
        if text[..length].strip_suffix(b"\n") == Some(name.as_str().as_bytes()) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}
