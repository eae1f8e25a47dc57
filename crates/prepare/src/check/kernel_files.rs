// SPDX-License-Identifier: Apache-2.0
//! Looks at paths below /proc and /sys. An app sees the kernel's file systems there, whatever its image contains, and
//! the kernel is the one that runs now.

use std::fs::File;
use std::io;

use rustix::fs::FileType;

use sys::in_root::{InRoot, is_missing};

/// The kernel's object at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KernelFile {
    Nothing,
    Directory,
    /// Any other object; nothing in these file systems can be executed.
    File,
    /// Unknown, as it is behind a process's links, or can't be read.
    Unknown,
}

/// Looks at a path that begins with `/proc` or `/sys`. Links of the kernel's are followed within that file system.
pub(super) fn look(path: &[u8]) -> KernelFile {
    let path = String::from_utf8_lossy(path);
    let (top, below) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let stat =
        |top: &str| -> io::Result<_> { InRoot::below(File::open("/")?, top)?.stat(&format!("/{below}")) };
    match stat(top) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => KernelFile::Directory,
        Ok(_) => KernelFile::File,
        Err(error) if is_missing(&error) => KernelFile::Nothing,
        Err(_) => KernelFile::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (path, expected) in [
            ("/proc", KernelFile::Directory),
            ("/proc/self", KernelFile::Directory),
            ("/proc/self/root/bin", KernelFile::Unknown),
            ("/proc/sys/kernel", KernelFile::Directory),
            ("/proc/version", KernelFile::File),
            ("/proc/tool", KernelFile::Nothing),
            ("/proc/version/x", KernelFile::Nothing),
            ("/sys/none", KernelFile::Nothing),
        ] {
            assert_eq!(look(path.as_bytes()), expected, "{path}");
        }
    }
}
