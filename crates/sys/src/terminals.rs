// SPDX-License-Identifier: Apache-2.0
//! Terminals, by what the kernel knows of them.
#![allow(unsafe_code, reason = "the call has no safe wrapper")]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use nix::errno::Errno;

/// Returns the device number of a terminal, whatever name it was opened by: `TIOCGDEV` (linux/tty_io.c).
///
/// # Errors
/// Returns the system's error.
pub fn device(terminal: impl AsFd) -> io::Result<u32> {
    let mut device = 0_u32;
    // SAFETY: the call writes a number of this size, or nothing.
    let result = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCGDEV as _, &raw mut device) };
    Ok(Errno::result(result).map(|_| device)?)
}
