// SPDX-License-Identifier: Apache-2.0
//! Removing a tree, relative to descriptors: no link is followed, whatever the tree holds, and three are open however
//! deep it is. The way back up is `..`, which has to be the directory that the way down came through.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, unlinkat};
use rustix::io::{Errno, Result};

/// How often a directory may be found with something in it after it was emptied.
const ATTEMPTS: usize = 8;

/// Removes `name` in `parent`, whatever it is, and everything below it. That it is gone already is well.
pub(super) fn remove_tree(parent: impl AsFd, name: &CStr) -> Result<()> {
    if is_removed(&parent, name)? {
        return Ok(());
    }
    for _ in 1..ATTEMPTS {
        match open(&parent, name) {
            Err(Errno::NOENT) => return Ok(()),
            opened => empty(opened?)?,
        }
        match unlinkat(&parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY) => {}
            Err(Errno::NOENT) => return Ok(()),
            done => return done,
        }
    }
    unlinkat(&parent, name, AtFlags::REMOVEDIR)
}

/// Removes what is no directory; whether it is gone.
fn is_removed(parent: impl AsFd, name: &CStr) -> Result<bool> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR | Errno::PERM) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A directory above the one that is being emptied.
struct Above {
    /// Which one it is.
    identity: (u64, u64),
    /// The names in it that are directories, and still there. The last is the way down.
    left: Vec<CString>,
    /// How often that one was emptied.
    attempts: usize,
}

/// Empties `directory`, depth first.
fn empty(mut directory: OwnedFd) -> Result<()> {
    let mut way: Vec<Above> = Vec::new();
    let (mut left, mut attempts) = (subdirectories(&directory)?, 0);
    loop {
        if let Some(name) = left.last() {
            let below = open(&directory, name)?;
            way.push(Above { identity: identity(&directory)?, left, attempts });
            (left, attempts) = (subdirectories(&below)?, 0);
            directory = below;
            continue;
        }
        let Some(above) = way.pop() else { return Ok(()) };
        directory = open(&directory, c"..")?;
        if identity(&directory)? != above.identity {
            return Err(Errno::STALE);
        }
        (left, attempts) = (above.left, above.attempts + 1);
        match left.last().map_or(Ok(()), |name| unlinkat(&directory, name, AtFlags::REMOVEDIR)) {
            Err(Errno::NOTEMPTY) if attempts < ATTEMPTS => continue,
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
        left.pop();
        attempts = 0;
    }
}

/// Removes what is in a directory and is none itself; the names of those that are.
fn subdirectories(directory: &OwnedFd) -> Result<Vec<CString>> {
    let mut all = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if entry.file_type() == FileType::Directory || !is_removed(directory, name)? {
            all.push(name.to_owned());
        }
    }
    Ok(all)
}

fn open(parent: impl AsFd, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

fn identity(directory: &OwnedFd) -> Result<(u64, u64)> {
    let stat = fstat(directory)?;
    Ok((stat.st_dev, stat.st_ino))
}
