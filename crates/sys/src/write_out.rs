// SPDX-License-Identifier: Apache-2.0
//! Writes content to disk ahead of its sync: the kernel begins to write, and the caller doesn't wait.
#![allow(unsafe_code, reason = "the call has no safe wrapper")]

use std::os::fd::{AsFd, AsRawFd as _};

use nix::errno::Errno;

/// Makes the kernel begin to write a file's content to disk.
///
/// It guarantees nothing (sync_file_range(2), "Warning"): a sync has to follow, and reports what fails. If all files
/// are begun before the first is synced, a journal takes them in one transaction, since their blocks are allocated by
/// then.
///
/// # Errors
/// Returns the system's error.
pub fn begin(file: impl AsFd) -> std::io::Result<()> {
    // SAFETY: the descriptor is open as long as it is borrowed, and the call takes no pointers.
    let begun = unsafe { libc::sync_file_range(file.as_fd().as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
    Ok(Errno::result(begun).map(drop)?)
}
