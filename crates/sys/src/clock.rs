// SPDX-License-Identifier: Apache-2.0
//! The clock that all processes have in common, and that can't be set.
#![allow(
    unsafe_code,
    reason = "the standard library's own reading of it is only good for differences in one process"
)]

use std::time::Duration;

/// Reads CLOCK_MONOTONIC: clock_gettime(2). Where the kernel helps (vdso(7)), that is no system call.
pub fn monotonic() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a structure of the caller's that is written to. It can't fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}
