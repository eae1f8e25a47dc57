// SPDX-License-Identifier: Apache-2.0
//! Copies the content of files: shared with the original by reflink where the file system can do that, else byte for
//! byte. Makes files in memory.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};

use rustix::fs::{MemfdFlags, ioctl_ficlone, memfd_create};
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

/// Makes a file in memory that has this content, at whose start it is positioned. The kernel shows `name` in /proc.
///
/// # Errors
/// If there is no memory.
pub fn in_memory(name: &str, bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}
