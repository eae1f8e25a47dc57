// SPDX-License-Identifier: Apache-2.0
//! Descriptors that a program is started with at fixed numbers (sd_listen_fds(3), socket activation).
#![allow(unsafe_code, reason = "a descriptor that is known by its number alone has no owner yet")]

use std::mem::ManuallyDrop;
use std::ops::Range;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use rustix::io::{Errno, FdFlags, dup2, fcntl_dupfd_cloexec, fcntl_setfd};

use crate::error::{CalledOn as _, Error};

/// The first number (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// Gives some of these descriptors the numbers of socket activation, so that they survive exec, and closes all others.
///
/// `above` is a number above all of those: the descriptors may have any of them, so they are moved out of the way
/// first.
///
/// # Errors
/// Returns the system's error; `EBADF` if there are fewer descriptors than are to be passed.
pub fn pass(all: Vec<OwnedFd>, which: Range<usize>, above: RawFd) -> Result<(), Error> {
    let mine = all.get(which).ok_or(Errno::BADF).called_on("fcntl", "socket")?;
    let moved = mine.iter().map(|one| fcntl_dupfd_cloexec(one, above));
    let moved = moved.collect::<rustix::io::Result<Vec<OwnedFd>>>().called_on("fcntl", "socket")?;
    drop(all);
    for (descriptor, number) in moved.iter().zip(FIRST..) {
        // SAFETY: the new descriptor is never dropped, and nothing uses what was open at its number.
        let mut passed = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
        dup2(descriptor, &mut passed).called_on("dup2", "socket")?;
    }
    Ok(())
}

/// Takes the descriptor with this index of those that this program was started with. To be called once for each, before
/// anything is opened.
///
/// # Errors
/// Returns the system's error; `EBADF` if there is none.
pub fn take(index: u16) -> Result<OwnedFd, Errno> {
    let number = FIRST + RawFd::from(index);
    // SAFETY: the number is not −1, and the borrow is used for one call that fails where nothing is open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
    // SAFETY: it is open, as that call showed, and nothing else has opened or taken it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
