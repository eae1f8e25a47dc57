// SPDX-License-Identifier: Apache-2.0
//! Resolves paths of a layer inside of the tree that lower layers made, as if the tree's root were `/`.
//!
//! The worker has no /proc in which the kernel would tell where a path has led, and the record, the directories' times
//! and whiteouts need to know. So links are read and followed here. Invariant: a path is looked up only where everything
//! above it is known to be a directory, and no other process changes the tree.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use pod::path::RelativePath;
use rustix::fs::{FileType, OFlags, fstat, readlinkat};
use rustix::io::Errno;

use super::super::directories::Directories;
use crate::extract::listing::join;
use crate::fault::{Result, Within as _, refuse};
use sys::open_beneath;

/// The kernel follows at most this many links in one path (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// The object that a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// To this directory; its path has no link in it.
    Directory(RelativePath),
    /// To nothing: these directories are missing, each below the one before.
    Missing(Vec<RelativePath>),
    /// Through this object, which is neither a directory nor a link.
    Blocked(RelativePath),
}

/// Returns where the directory `path` is.
pub(super) fn directory(root: &OwnedFd, directories: &Directories, path: &RelativePath) -> Result<Found> {
    if directories.contains(path) {
        return Ok(Found::Directory(path.clone()));
    }
    let mut at = RelativePath::default();
    let mut ahead: VecDeque<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
    let mut links = 0;
    while let Some(name) = ahead.pop_front() {
        if name == b".." {
            at = at.split_last().map(|(above, _)| above).unwrap_or_default();
            continue;
        }
        let next = join(&at, &name)?;
        if directories.contains(&next) {
            at = next;
            continue;
        }
        match open_beneath(root, next.as_path(), OFlags::PATH | OFlags::NOFOLLOW) {
            Err(error) if error.errno == Errno::NOENT => match missing(&at, name, &mut ahead)? {
                Some(missing) => return Ok(Found::Missing(missing)),
                // `..` led back to where something is.
                None => continue,
            },
            opened => {
                let object = opened.within(|| "cannot open what is above it")?;
                let stat = fstat(&object).within(|| "cannot look at what is above it")?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
                    return Ok(Found::Blocked(next));
                }
                links += 1;
                if links > LINKS_MAX {
                    refuse!("lies below links that lead to each other: expected a directory");
                }
                let target =
                    readlinkat(&object, "", Vec::new()).within(|| "cannot read the link above it")?;
                if target.as_bytes().starts_with(b"/") {
                    at = RelativePath::default();
                }
                prepend(&mut ahead, target.as_bytes());
            }
        }
    }
    Ok(Found::Directory(at))
}

/// Returns the directory `path` if it is there.
pub(super) fn existing(
    root: &OwnedFd,
    directories: &Directories,
    path: &RelativePath,
) -> Result<Option<RelativePath>> {
    Ok(match directory(root, directories, path)? {
        Found::Directory(path) => Some(path),
        Found::Missing(_) | Found::Blocked(_) => None,
    })
}

/// Returns the directories that are missing from `first` in `at` on; `None` if `..` leads back above `first`.
///
/// Missing directories are made as directories, so `..` after one of them is the one above it.
fn missing(
    at: &RelativePath,
    first: Vec<u8>,
    ahead: &mut VecDeque<Vec<u8>>,
) -> Result<Option<Vec<RelativePath>>> {
    let mut names = vec![first];
    while let Some(name) = ahead.pop_front() {
        if name != b".." {
            names.push(name);
            continue;
        }
        names.pop();
        if names.is_empty() {
            return Ok(None);
        }
    }
    let mut all: Vec<RelativePath> = Vec::new();
    for name in names {
        let path = join(all.last().unwrap_or(at), &name)?;
        all.push(path);
    }
    Ok(Some(all))
}

fn prepend(ahead: &mut VecDeque<Vec<u8>>, target: &[u8]) {
    for name in target.split(|byte| *byte == b'/').rev().filter(|name| !matches!(*name, b"" | b".")) {
        ahead.push_front(name.to_vec());
    }
}
