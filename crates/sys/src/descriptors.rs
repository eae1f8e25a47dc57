// SPDX-License-Identifier: Apache-2.0
//! The descriptors that a process has open.

use std::fs;
use std::io;
use std::os::fd::RawFd;

use nix::errno::Errno;
// rustix has no safe function that closes a descriptor by its number.
use nix::unistd::close;

/// Closes all descriptors above stderr's that `is_kept` doesn't keep.
///
/// The caller must not have an owner of any of them left that it still uses.
///
/// # Errors
/// Fails if /proc can't be read, and with the system's error.
pub fn close_others(mut is_kept: impl FnMut(RawFd) -> bool) -> io::Result<()> {
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse::<RawFd>().ok());
        open.push(number.ok_or_else(|| io::Error::other("not a number"))?);
    }
    for number in open.into_iter().filter(|number| *number > 2 && !is_kept(*number)) {
        match close(number) {
            // EBADF: the descriptor of the directory listing itself.
            Ok(()) | Err(Errno::EBADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
