// SPDX-License-Identifier: Apache-2.0
//! Takes shared locks (flock(2)), and waits where another process holds the lock exclusively.
//!
//! Invariant: the wait ends once a signal asks for the end. The kernel resumes the wait after a signal handler has run,
//! so a separate thread does the waiting.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};

use sys::Interrupt;

/// How often the caller checks whether a signal has arrived.
const LOOK: Duration = Duration::from_millis(50);

/// Takes a shared lock on `directory`, which is held as long as that is open.
///
/// # Errors
/// If `interrupt` has a signal, or the system fails.
pub(crate) fn share(directory: &OwnedFd, interrupt: &Interrupt) -> io::Result<()> {
    match flock(directory, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => {}
        done => return Ok(done?),
    }
    let (tell, told) = mpsc::channel();
    let waiting = directory.try_clone()?;
    thread::Builder::new().name("lock".into()).spawn(move || {
        let locked = retry_on_intr(|| flock(&waiting, FlockOperation::LockShared));
        // From here on, only the caller's descriptor holds the lock.
        drop(waiting);
        // A caller that was interrupted no longer receives this.
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
