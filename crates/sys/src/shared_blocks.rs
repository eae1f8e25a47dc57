// SPDX-License-Identifier: Apache-2.0
//! Blocks that files share: the kernel compares two files and lets them have the same blocks where they are equal
//! (ioctl_fideduperange(2)). Neither's content, metadata nor times change.
#![allow(unsafe_code, reason = "the call has no safe wrapper")]

use std::os::fd::{AsFd, AsRawFd as _};

use nix::errno::Errno;
use rustix::fs::fstatfs;

/// `_IOWR(0x94, 54, struct file_dedupe_range)` (linux/fs.h).
const FIDEDUPERANGE: u32 = 0xC018_9436;
/// The most that is asked for at once; some file systems do no more.
const PIECE: u64 = 16 << 20;
/// The file systems of Linux whose files can share blocks, by their magic numbers: XFS, Btrfs, bcachefs, OCFS2.
const SHARING: [u64; 4] = [0x5846_5342, 0x9123_683E, 0xCA45_1A4E, 0x7461_636F];

/// `struct file_dedupe_range` with one `struct file_dedupe_range_info` behind it.
#[repr(C)]
struct Range {
    source_offset: u64,
    source_length: u64,
    count: u16,
    reserved1: u16,
    reserved2: u32,
    fd: i64,
    offset: u64,
    shared: u64,
    status: i32,
    reserved3: u32,
}

/// The result for two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// They share this many bytes; the rest differs, or is a tail that can't be shared.
    Shared(u64),
    /// Files here share nothing.
    Unsupported,
}

/// Tells whether files of this file system may be able to share blocks. Only sharing some shows whether they can.
pub fn may_be(file: impl AsFd) -> bool {
    fstatfs(file).is_ok_and(|found| SHARING.contains(&u64::try_from(found.f_type).unwrap_or_default()))
}

/// Lets `to` have the blocks of `from` for the first `length` bytes, as far as the kernel finds both equal.
///
/// # Errors
/// Returns the system's error.
pub fn share(from: impl AsFd, to: impl AsFd, length: u64) -> std::io::Result<Sharing> {
    let mut at = 0;
    while at < length {
        let mut range = Range {
            source_offset: at,
            source_length: PIECE.min(length - at),
            count: 1,
            reserved1: 0,
            reserved2: 0,
            fd: i64::from(to.as_fd().as_raw_fd()),
            offset: at,
            shared: 0,
            status: 0,
            reserved3: 0,
        };
        // SAFETY: the kernel reads and writes a structure of this form, with as many entries as it says.
        let done = unsafe { libc::ioctl(from.as_fd().as_raw_fd(), FIDEDUPERANGE as _, &raw mut range) };
        match Errno::result(done).map(|_| range.status) {
            Ok(0) if range.shared > 0 => at += range.shared,
            // They differ, or nothing of the rest can be shared.
            Ok(status) if status >= 0 => break,
            Ok(status) if is_unsupported(Errno::from_raw(-status)) => return Ok(Sharing::Unsupported),
            Err(error) if is_unsupported(error) => return Ok(Sharing::Unsupported),
            Ok(status) => return Err(Errno::from_raw(-status).into()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Sharing::Shared(at))
}

fn is_unsupported(error: Errno) -> bool {
    matches!(
        error,
        Errno::EOPNOTSUPP | Errno::ENOTTY | Errno::ENOSYS | Errno::EINVAL | Errno::EXDEV | Errno::EPERM
    )
}
