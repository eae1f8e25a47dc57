// SPDX-License-Identifier: Apache-2.0
//! A pod runs once at a time: its directory is locked (flock(2)) as long as anything of it is there.
//!
//! After the pod's process has ended that is the reaper, for some milliseconds; who starts the pod again waits for it
//! instead of being told that the pod is running. A second lock, on stage1, tells the two apart: the reaper holds it
//! as well, and lets go of it first.

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

/// How long the reaper may take to see that the pod's process has ended.
const NOTICE: Duration = Duration::from_millis(200);
/// How long it may take to end and remove what is left.
const REAP: Duration = Duration::from_secs(10);
/// How often to look: there is no lock to wait for, since another start may get it first and keep it.
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

/// Takes the lock that says that the pod's process is there.
pub(crate) fn alive(directory: impl AsFd, how: FlockOperation) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let stage1 = openat(directory, layout::STAGE1, flags, Mode::empty())?;
    flock(&stage1, how)?;
    Ok(stage1)
}
