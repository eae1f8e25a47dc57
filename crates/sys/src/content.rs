// SPDX-License-Identifier: Apache-2.0
//! Copies the content of files: shared with the original by reflink where the file system can do that, else byte for
//! byte. Makes files in memory.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{MemfdFlags, SeekFrom, ioctl_ficlone, memfd_create, seek};
use rustix::io::Errno;

/// The unit in which the kernel counts a file's space (stat(2), `st_blocks`).
const UNIT: u64 = 512;

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
    copy_parts(from, to)?;
    Ok(Means::Bytes)
}

/// Copies what is no hole: a copy takes no more space than the original.
fn copy_parts(from: &mut File, to: &mut File) -> io::Result<()> {
    let metadata = from.metadata()?;
    let length = metadata.len();
    if metadata.blocks().saturating_mul(UNIT) >= length {
        // It uses copy_file_range(2) where it can.
        return io::copy(from, to).map(drop);
    }
    let mut at = 0;
    loop {
        let start = match seek(&*from, SeekFrom::Data(at)) {
            // No data from there on.
            Err(Errno::NXIO) => break,
            // The file system knows no holes.
            Err(Errno::INVAL) => at,
            found => found?,
        };
        let end = seek(&*from, SeekFrom::Hole(start)).unwrap_or(length);
        seek(&*from, SeekFrom::Start(start))?;
        seek(&*to, SeekFrom::Start(start))?;
        io::copy(&mut from.take(end - start), to)?;
        at = end;
        if at >= length {
            break;
        }
    }
    to.set_len(length)
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn a_copy_has_the_originals_holes() {
        let length = 20 << 20;
        for (places, ends) in [(&[][..], false), (&[0, 5 << 20], false), (&[1 << 20], true)] {
            let [mut from, mut to] = [(); 2].map(|()| tempfile::tempfile().unwrap());
            from.set_len(length).unwrap();
            for place in places {
                from.write_all_at(b"data", *place).unwrap();
            }
            if ends {
                from.write_all_at(b"end", length - 3).unwrap();
            }
            copy(&mut from, &mut to, Means::Bytes).unwrap();
            let content = |mut file: &File| {
                let mut all = Vec::new();
                file.rewind().unwrap();
                file.read_to_end(&mut all).unwrap();
                all
            };
            assert!(content(&from) == content(&to), "{places:?}");
            let space = |file: &File| file.metadata().unwrap().blocks();
            assert!(space(&to) <= space(&from), "{places:?}: {} of {}", space(&to), space(&from));
        }
    }
}
