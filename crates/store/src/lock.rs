// SPDX-License-Identifier: Apache-2.0
//! Sharing a lock (flock(2)), and waiting for it where somebody has it alone.
//!
//! Invariant: the wait ends once a signal asks for the end. The kernel goes on with it after a handler has run, so it is
//! a thread of its own that waits.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};

use sys::Interrupt;

/// How often it is looked whether a signal has arrived.
const LOOK: Duration = Duration::from_millis(50);

/// Shares the lock on `directory`, which is held as long as that is open.
///
/// # Errors
/// Once `interrupt` has a signal; the system's.
pub(crate) fn share(directory: &OwnedFd, interrupt: &Interrupt) -> io::Result<()> {
    match flock(directory, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => {}
        done => return Ok(done?),
    }
    let (tell, told) = mpsc::channel();
    let waiting = directory.try_clone()?;
    thread::Builder::new().name("lock".into()).spawn(move || {
        let locked = retry_on_intr(|| flock(&waiting, FlockOperation::LockShared));
        // The lock is then its caller's alone to let go of.
        drop(waiting);
        // A caller that has been interrupted is no longer there.
        let _ = tell.send(locked);
    })?;
    loop {
        match told.recv_timeout(LOOK) {
            Ok(locked) => return Ok(locked?),
            Err(RecvTimeoutError::Timeout) => interrupt.check()?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("the thread that waits is gone"));
            }
        }
    }
}
