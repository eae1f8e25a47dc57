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
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat};
use nix::sys::stat::Mode;
use pod::id::PodId;
use pod::layout;
use rustix::fs::{FlockOperation, flock};

/// How long the reaper may take to notice that the pod's process has ended.
const NOTICE: Duration = Duration::from_millis(200);
/// How long the reaper may take to end and remove what is left.
const REAP: Duration = Duration::from_secs(10);
/// How often to try. Waiting for the lock itself is no option, since another start may get it first and keep it.
const STEP: Duration = Duration::from_millis(1);

/// Locks the directory of the pod `id`.
pub(crate) fn take(mut directory: OwnedFd, id: PodId) -> Result<Flock<OwnedFd>> {
    let begun = Instant::now();
    loop {
        directory = match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((directory, Errno::EWOULDBLOCK)) => directory,
            Err((_, error)) => return Err(error).context("cannot lock the pod directory"),
        };
        let has_ended = alive(&directory, FlockOperation::NonBlockingLockExclusive).is_ok();
        ensure!(begun.elapsed() < if has_ended { REAP } else { NOTICE }, "pod {id} is already running");
        sleep(STEP);
    }
}

/// Takes the lock on stage1, which shows that the pod's process exists.
pub(crate) fn alive(directory: impl AsFd, how: FlockOperation) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let stage1 = openat(directory, layout::STAGE1, flags, Mode::empty())?;
    flock(&stage1, how)?;
    Ok(stage1)
}
