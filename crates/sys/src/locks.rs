// SPDX-License-Identifier: Apache-2.0
//! Locks on directories and files (flock(2)), and the check after locking that a name still means what was locked.
//!
//! A lock belongs to an open file description: it is held until the last descriptor of it is closed, also in other
//! processes. Invariant: no wait for a lock goes on after a signal asked for the end. The kernel resumes a wait after a
//! signal handler has run, so a separate thread does the waiting.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

// rustix has no lock of an open file description.
use nix::fcntl::{FcntlArg, fcntl};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fstat, openat, statat};
use rustix::io::{Errno, retry_on_intr};

use crate::Interrupt;
use crate::error::{CalledOn as _, Error};

/// How often a waiting caller checks whether a signal has arrived.
const LOOK: Duration = Duration::from_millis(50);
/// How often a directory is opened again after it was replaced before it was locked.
const ATTEMPTS: usize = 64;
const AS_DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Tries to lock `file` exclusively. Tells whether that worked; if not, another process has a lock on it.
///
/// # Errors
/// Returns the system's error.
pub fn try_lock_alone(file: impl AsFd) -> Result<bool, Error> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(false),
        done => done.map(|()| true).called_on("flock", "file"),
    }
}

/// Tries to lock all of `file` exclusively, by a lock of its open file description (fcntl(2), `F_OFD_SETLK`), which is another kind
/// than the other locks here. Tells whether that worked; if not, another process has a lock on it.
///
/// # Errors
/// Returns the system's error.
pub fn try_lock_record(file: impl AsFd) -> Result<bool, Error> {
    // From the start on, as far as it goes.
    let whole = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole)) {
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(false),
        done => done
            .map(|_| true)
            .map_err(|error| Errno::from_raw_os_error(error as i32))
            .called_on("fcntl", "file"),
    }
}

/// Lets other processes share the exclusive lock on `file`.
///
/// # Errors
/// Returns the system's error.
pub fn downgrade(file: impl AsFd) -> Result<(), Error> {
    flock(file, FlockOperation::LockShared).called_on("flock", "file")
}

/// Takes a shared lock on `file`, and waits for a process that has it exclusively.
///
/// # Errors
/// Fails if `interrupt` has a signal, and with the system's error.
pub fn share(file: impl AsFd, interrupt: &Interrupt) -> io::Result<()> {
    wait(file, FlockOperation::NonBlockingLockShared, FlockOperation::LockShared, interrupt)
}

/// Takes an exclusive lock on `file`, and waits for processes that have one.
///
/// # Errors
/// As [`share`].
pub fn alone(file: impl AsFd, interrupt: &Interrupt) -> io::Result<()> {
    wait(file, FlockOperation::NonBlockingLockExclusive, FlockOperation::LockExclusive, interrupt)
}

/// Tries to take a lock, and then waits for it.
fn wait(
    file: impl AsFd,
    now: FlockOperation,
    in_time: FlockOperation,
    interrupt: &Interrupt,
) -> io::Result<()> {
    match flock(&file, now) {
        Err(Errno::WOULDBLOCK) => {}
        done => return Ok(done?),
    }
    let (tell, told) = mpsc::channel();
    let waiting = file.as_fd().try_clone_to_owned()?;
    thread::Builder::new().name("lock".into()).spawn(move || {
        let locked = retry_on_intr(|| flock(&waiting, in_time));
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

/// Opens the directory `name` in `parent` and locks it exclusively. Returns `None` if another process has a lock on it,
/// or if the directory is gone.
///
/// After locking, it checks that the name still means the locked directory, which was neither renamed nor removed in
/// between.
///
/// # Errors
/// Returns the system's error.
pub fn lock_alone(parent: impl AsFd, name: &CStr) -> Result<Option<OwnedFd>, Error> {
    let directory = match openat(&parent, name, AS_DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        opened => opened.called_on("openat", shown(name))?,
    };
    if !try_lock_alone(&directory)? {
        return Ok(None);
    }
    Ok(is_called(parent, name, &directory)?.then_some(directory))
}

/// The reason why a directory could not be locked by its name.
#[derive(Debug, thiserror::Error)]
pub enum Unlocked {
    /// It can't be opened.
    #[error(transparent)]
    Open(Errno),
    /// It can't be locked, or a signal has ended the wait.
    #[error("cannot lock it")]
    Lock(#[source] io::Error),
    /// Each time it was locked, its name meant another directory.
    #[error("it is replaced again and again: expected it to stay")]
    Replaced(#[source] Errno),
}

/// Opens the directory `name` in `parent` and takes a shared lock on it. Returns `None` if there is none.
///
/// Waits for a process that has it exclusively. After locking, it checks that the name still means the locked
/// directory; if not, it begins again.
///
/// # Errors
/// See [`Unlocked`].
pub fn lock_shared(
    parent: impl AsFd,
    name: &CStr,
    interrupt: &Interrupt,
) -> Result<Option<OwnedFd>, Unlocked> {
    for _ in 0..ATTEMPTS {
        let directory = match openat(&parent, name, AS_DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.map_err(Unlocked::Open)?,
        };
        share(&directory, interrupt).map_err(Unlocked::Lock)?;
        if is_called(&parent, name, &directory).map_err(|error| Unlocked::Open(error.errno))? {
            return Ok(Some(directory));
        }
    }
    Err(Unlocked::Replaced(Errno::AGAIN))
}

/// Tells whether `name` in `parent` is this open file or directory.
///
/// # Errors
/// Returns the system's error.
pub fn is_called(parent: impl AsFd, name: &CStr, file: impl AsFd) -> Result<bool, Error> {
    let open = identity(file)?;
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(false),
        there => there.map(|there| (there.st_dev, there.st_ino) == open).called_on("newfstatat", shown(name)),
    }
}

/// Returns the device and inode number of an open file, which no other object has while it is open.
///
/// # Errors
/// Returns the system's error.
pub fn identity(file: impl AsFd) -> Result<(u64, u64), Error> {
    let stat = fstat(file).called_on("fstat", "file")?;
    Ok((stat.st_dev, stat.st_ino))
}

fn shown(name: &CStr) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(name.to_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn a_name_that_means_another_directory_by_now_is_not_locked() {
        let outer = tempfile::tempdir().unwrap();
        let parent = File::open(outer.path()).unwrap();
        assert!(lock_alone(&parent, c"none").unwrap().is_none());
        fs::create_dir(outer.path().join("one")).unwrap();
        let locked = lock_alone(&parent, c"one").unwrap().unwrap();
        assert!(lock_alone(&parent, c"one").unwrap().is_none(), "it is locked already");
        assert!(is_called(&parent, c"one", &locked).unwrap());
        fs::rename(outer.path().join("one"), outer.path().join("two")).unwrap();
        fs::create_dir(outer.path().join("one")).unwrap();
        assert!(!is_called(&parent, c"one", &locked).unwrap());
        assert!(lock_alone(&parent, c"one").unwrap().is_some(), "it is a new directory");
    }

    #[test]
    fn a_wait_for_a_shared_lock_ends_with_the_lock_or_a_signal() {
        let outer = tempfile::tempdir().unwrap();
        let parent = File::open(outer.path()).unwrap();
        fs::create_dir(outer.path().join("one")).unwrap();
        let alone = lock_alone(&parent, c"one").unwrap().unwrap();
        let interrupted = lock_shared(&parent, c"one", &Interrupt::by(15)).unwrap_err();
        assert!(matches!(interrupted, Unlocked::Lock(_)), "{interrupted}");
        let own = parent.try_clone().unwrap();
        let waiting = thread::spawn(move || lock_shared(&own, c"one", &Interrupt::default()));
        downgrade(&alone).unwrap();
        assert!(waiting.join().unwrap().unwrap().is_some());
        assert!(lock_shared(&parent, c"none", &Interrupt::default()).unwrap().is_none());
    }
}
