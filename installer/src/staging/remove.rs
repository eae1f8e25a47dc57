// SPDX-License-Identifier: Apache-2.0
//! Removing a tree, relative to descriptors: no link is followed, whatever the tree holds.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, unlinkat};
use rustix::io::{Errno, Result};

/// How often a directory is emptied that is not empty afterwards.
const ATTEMPTS: usize = 8;

/// Removes `name` in `parent`, whatever it is, and everything below it. That it is gone already is well.
pub(super) fn remove_tree(parent: impl AsFd, name: &CStr) -> Result<()> {
    match unlinkat(&parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => remove_directory(parent, name),
        Err(Errno::NOENT) => Ok(()),
        done => done,
    }
}

fn remove_directory(parent: impl AsFd, name: &CStr) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match openat(&parent, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    for _ in 1..ATTEMPTS {
        empty(&directory)?;
        match unlinkat(&parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY) => {}
            Err(Errno::NOENT) => return Ok(()),
            done => return done,
        }
    }
    unlinkat(&parent, name, AtFlags::REMOVEDIR)
}

/// Depth of recursion is bounded by that of the archives unpacked here, `Limits::depth`.
fn empty(directory: &OwnedFd) -> Result<()> {
    // Closed before going deeper, so that one descriptor a level is open.
    let mut subdirectories = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if matches!(entry.file_type(), FileType::Directory | FileType::Unknown) {
            subdirectories.push(name.to_owned());
        } else {
            remove_tree(directory, name)?;
        }
    }
    subdirectories.iter().try_for_each(|name| remove_tree(directory, name))
}
