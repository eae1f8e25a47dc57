// SPDX-License-Identifier: Apache-2.0
//! Options of sockets that no library has a type for.
#![allow(unsafe_code, reason = "the call has no safe wrapper")]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use nix::errno::Errno;

/// Reads an option into `value`, which begins as what the kernel is asked. Returns the length of what it holds then.
///
/// # Errors
/// Returns the system's error (getsockopt(2)).
pub fn option(socket: impl AsFd, level: i32, name: i32, value: &mut [u8]) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: the call writes no more than `length` bytes, which the slice has, and the length of what it has written.
    let result = unsafe { libc::getsockopt(socket, level, name, value.as_mut_ptr().cast(), &raw mut length) };
    Errno::result(result)?;
    Ok(value.len().min(length as usize))
}
