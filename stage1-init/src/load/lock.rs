// SPDX-License-Identifier: Apache-2.0
//! The pod's lock: a pod runs once at a time, so its directory is locked (flock(2)) as long as anything of it exists.
//!
//! After the pod's process has ended, the reaper still holds that lock for some milliseconds. A process that starts
//! the pod again then waits for the reaper, instead of reporting that the pod is running. A second lock, on stage1,
//! tells the two cases apart: the reaper holds it as well, and releases it first.

use std::os::fd::{AsFd, OwnedFd};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pod::id::PodId;
use pod::layout;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use sys::locks::try_lock_alone;
use sys::{CalledOn as _, Error};

/// How long the reaper may take to notice that the pod's process has ended.
const NOTICE: Duration = Duration::from_millis(200);
/// How long the reaper may take to end and remove what is left.
const REAP: Duration = Duration::from_secs(10);
/// How often to try. Waiting for the lock itself is no option, since another start may get it first and keep it.
const STEP: Duration = Duration::from_millis(1);

/// Locks the directory of the pod `id`.
///
/// The lock is held as long as any process has the descriptor that is returned.
pub(crate) fn take(directory: OwnedFd, id: PodId) -> Result<OwnedFd> {
    let begun = Instant::now();
    loop {
        if try_lock_alone(&directory).context("cannot lock the pod directory")? {
            return Ok(directory);
        }
        let has_ended = alive(&directory, FlockOperation::NonBlockingLockExclusive).is_ok();
        ensure!(begun.elapsed() < if has_ended { REAP } else { NOTICE }, "pod {id} is already running");
        sleep(STEP);
    }
}

/// Takes the lock on stage1, which shows that the pod's process exists.
pub(crate) fn alive(directory: impl AsFd, how: FlockOperation) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(directory, layout::STAGE1, flags, Mode::empty());
    let stage1 = opened.called_on("openat", layout::STAGE1)?;
    flock(&stage1, how).called_on("flock", layout::STAGE1)?;
    Ok(stage1)
}
