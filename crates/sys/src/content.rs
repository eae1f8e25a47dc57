// SPDX-License-Identifier: Apache-2.0
//! Copies the content of files: shared with the original by reflink where the file system can do that, else byte for
//! byte.

use std::fs::File;
use std::io;

use rustix::fs::ioctl_ficlone;
use rustix::io::Errno;

/// The way that content got into a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Means {
    /// By reflink, which takes no space.
    #[default]
    Reflink,
    /// Byte for byte.
    Bytes,
}

/// The step of a copy that failed.
#[derive(Debug, thiserror::Error)]
pub enum Uncopied {
    /// The file system can share content, and failed to.
    #[error("cannot clone its content")]
    Clone(#[source] Errno),
    /// Reading or writing failed.
    #[error(transparent)]
    Bytes(#[from] io::Error),
}

/// Copies the content of `from` to the empty file `to`. A reflink is tried unless `first` says that there are none.
///
/// Returns the way that worked, with which the next file of the same file systems can begin.
///
/// # Errors
/// See [`Uncopied`].
pub fn copy(from: &mut File, to: &mut File, first: Means) -> Result<Means, Uncopied> {
    if first == Means::Reflink && is_cloned(from, to)? {
        return Ok(Means::Reflink);
    }
    // It uses copy_file_range(2) where it can.
    io::copy(from, to)?;
    Ok(Means::Bytes)
}

/// Shares content by reflink, and tells whether that worked: only the file system knows whether it can.
fn is_cloned(from: &File, to: &File) -> Result<bool, Uncopied> {
    match ioctl_ficlone(to, from) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS) => Ok(false),
        Err(error) => Err(Uncopied::Clone(error)),
    }
}
