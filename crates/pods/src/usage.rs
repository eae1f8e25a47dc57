// SPDX-License-Identifier: Apache-2.0
//! Disk usage of a directory that processes may be changing meanwhile.
//!
//! No link is followed, no mount is crossed, and at most three descriptors are open, however deep it is.

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, Dir, FileType, OFlags, fstat, statat};
use rustix::io::Errno;
use sys::locks::identity;
use sys::{Interrupt, open_on_mount};

use crate::directory::Pod;

/// The size of the blocks that stat(2) counts.
const BLOCK: u64 = 512;

/// Returns how many bytes a pod's directory takes on the disk, without the trees of the store that it is made of.
///
/// What is moved away or removed meanwhile does not count.
pub fn of(pod: &Pod, interrupt: &Interrupt) -> Result<u64> {
    of_directory(&pod.directory, interrupt).with_context(|| format!("cannot measure pod {}", pod.id()))
}

/// A directory above the present one: its identity, and the directories in it that are still to be entered.
type Above = ((u64, u64), Vec<CString>);

fn of_directory(directory: &OwnedFd, interrupt: &Interrupt) -> Result<u64> {
    let mut sum = Sum { seen: BTreeSet::new(), bytes: 0 };
    let mut here = open(directory, ".")?;
    sum.add(&fstat(&here)?);
    let mut left = sum.entries(&here)?;
    let mut way: Vec<Above> = Vec::new();
    loop {
        interrupt.check()?;
        if let Some(name) = left.pop() {
            match open(&here, OsStr::from_bytes(name.to_bytes())) {
                Ok(below) => {
                    let above = std::mem::replace(&mut left, sum.entries(&below)?);
                    way.push((identity(&here)?, above));
                    here = below;
                }
                // It is a mount point, or is gone.
                Err(Errno::XDEV | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(error.into()),
            }
            continue;
        }
        let Some((above, names)) = way.pop() else { return Ok(sum.bytes) };
        here = match open(&here, "..") {
            Ok(parent) if identity(&parent)? == above => parent,
            // It was moved while it was walked through: there is no way back.
            _ => return Ok(sum.bytes),
        };
        left = names;
    }
}

struct Sum {
    /// Files with several names that were counted.
    seen: BTreeSet<(u64, u64)>,
    /// Bytes of blocks.
    bytes: u64,
}

impl Sum {
    fn add(&mut self, stat: &rustix::fs::Stat) {
        if stat.st_nlink < 2
            || FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            || self.seen.insert((stat.st_dev, stat.st_ino))
        {
            self.bytes += u64::try_from(stat.st_blocks).unwrap_or_default() * BLOCK;
        }
    }

    /// Adds all entries of a directory, and returns the names of the directories among them.
    fn entries(&mut self, directory: &OwnedFd) -> Result<Vec<CString>> {
        let mut directories = Vec::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT) {
                Err(Errno::NOENT) => {}
                stat => {
                    let stat = stat?;
                    self.add(&stat);
                    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                        directories.push(name.to_owned());
                    }
                }
            }
        }
        Ok(directories)
    }
}

fn open(at: impl AsFd, name: impl AsRef<OsStr>) -> Result<OwnedFd, Errno> {
    Ok(open_on_mount(at, name, OFlags::RDONLY | OFlags::DIRECTORY)?)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    #[test]
    fn each_file_counts_once_and_links_lead_nowhere() {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir_all(top.path().join("a/b/c")).unwrap();
        fs::create_dir(top.path().join("empty")).unwrap();
        fs::write(top.path().join("a/b/file"), vec![7; 100_000]).unwrap();
        fs::hard_link(top.path().join("a/b/file"), top.path().join("a/b/c/again")).unwrap();
        symlink("/usr", top.path().join("a/link")).unwrap();
        let paths = ["", "a", "a/b", "a/b/c", "empty", "a/b/file", "a/link"];
        let blocks = paths.map(|path| fs::symlink_metadata(top.path().join(path)).unwrap().blocks());
        let found = of_directory(&File::open(&top).unwrap().into(), &Interrupt::default()).unwrap();
        assert_eq!(found, blocks.iter().sum::<u64>() * BLOCK);
    }

    #[test]
    fn what_is_deeper_than_a_path_can_reach_counts() {
        let top = tempfile::tempdir().unwrap();
        let mut all = vec![OwnedFd::from(File::open(&top).unwrap())];
        for _ in 0..300 {
            let here = all.last().unwrap();
            rustix::fs::mkdirat(here, "n".repeat(50), rustix::fs::Mode::RWXU).unwrap();
            all.push(open(here, "n".repeat(50)).unwrap());
        }
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let file = rustix::fs::openat(all.last().unwrap(), "file", flags, rustix::fs::Mode::RUSR).unwrap();
        rustix::io::write(&file, &[7; 100_000]).unwrap();
        all.push(file);
        let blocks = all.iter().map(|one| u64::try_from(fstat(one).unwrap().st_blocks).unwrap());
        let found = of_directory(&File::open(&top).unwrap().into(), &Interrupt::default()).unwrap();
        assert_eq!(found, blocks.sum::<u64>() * BLOCK);
    }
}
