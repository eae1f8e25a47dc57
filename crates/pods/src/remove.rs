// SPDX-License-Identifier: Apache-2.0
//! Removes the directories of pods that don't run.
//!
//! The pod's lock is taken first, as a start of it would. So a pod that is removed can't be started, and one that runs
//! can't be removed. The directory is moved into staging by one rename, and removed there: what a killed command leaves
//! is swept by the next.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use store::DataDir;
use store::staging::{self, Locked, Mounted, is_called};
use sys::locks::try_lock_alone;

use crate::cni;
use crate::directory::Pod;
use crate::state::{State, look};

/// How long to wait for a lock that a command holds to look at the pod, or that the pod's reaper holds.
const PATIENCE: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(1);

/// Why a pod was not removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is in this state.
    Is(State),
    /// Something is mounted in its directory.
    Mounted(Mounted),
}

/// Removes a pod that is prepared or has exited. It is no error if it is gone by now.
///
/// # Errors
/// If that fails. A pod in whose directory something is mounted stays, complete.
pub fn remove(data_dir: &DataDir, pod: Pod) -> Result<Result<(), Refused>> {
    let about = format!("cannot remove pod {}", pod.id());
    let begun = Instant::now();
    loop {
        if try_lock_alone(&pod.directory).with_context(|| about.clone())? {
            break;
        }
        let state = look(&pod)?.state;
        if state == State::Running || begun.elapsed() > PATIENCE {
            return Ok(Err(Refused::Is(state)));
        }
        sleep(STEP);
    }
    let removed = remove_locked(data_dir, pod).context(about)?;
    Ok(removed.map_err(Refused::Mounted))
}

/// Removes a pod whose lock this process holds.
pub(crate) fn remove_locked(data_dir: &DataDir, pod: Pod) -> Result<Result<(), Mounted>> {
    let name = std::ffi::CString::new(pod.id().to_string())?;
    // Another command may have removed it before it was locked.
    if !is_called(&data_dir.containers, &name, &pod.directory)? {
        return Ok(Ok(()));
    }
    cni::release(&pod, &data_dir.interrupt)?;
    let removed = staging::remove_pod(data_dir, &name, Locked { directory: pod.directory });
    Ok(staging::damage_or_error(removed)?)
}
