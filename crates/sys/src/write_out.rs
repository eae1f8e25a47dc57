// SPDX-License-Identifier: Apache-2.0
//! Content on its way to disk before it is synced: the kernel begins to write it, and nobody waits.
#![allow(unsafe_code, reason = "the call has no safe wrapper")]

use std::os::fd::{AsFd, AsRawFd as _};

/// Has the kernel begin to write a file's content to disk.
///
/// It guarantees nothing (sync_file_range(2), "Warning"): a sync has to follow, and reports what fails. Of several files,
/// each of which is begun before the first is synced, a journal takes all in one transaction: their blocks are allocated
/// by then.
pub fn begin(file: impl AsFd) {
    // SAFETY: the descriptor is open as long as it is borrowed, and the call takes no pointers.
    unsafe { libc::sync_file_range(file.as_fd().as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
}
