// SPDX-License-Identifier: Apache-2.0
//! Compares an executable file in two trees.

use std::os::fd::OwnedFd;

use pod::path::RelativePath;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::disk::is_same;
use super::inspect::{self, Opened};
use crate::fault::{Result, Within as _};
use sys::Interrupt;

/// Tells whether two directories have the same regular file at `path`: one object, or two with the same content, mode
/// and owner.
///
/// # Errors
/// If a file can't be examined for a reason other than damage; once interrupted.
pub fn is_same_file(
    one: &OwnedFd,
    other: &OwnedFd,
    path: &RelativePath,
    interrupt: &Interrupt,
) -> Result<bool> {
    let (Some(one), Some(other)) = (open(one, path)?, open(other, path)?) else { return Ok(false) };
    if is_same(&one.stat, &other.stat) {
        return Ok(true);
    }
    let seen = |file: &Opened| (file.stat.st_mode, file.stat.st_uid, file.stat.st_gid, file.stat.st_size);
    if seen(&one) != seen(&other) {
        return Ok(false);
    }
    match (one.content(interrupt), other.content(interrupt)) {
        (Ok(one), Ok(other)) => Ok(one == other),
        (Err(error), _) | (_, Err(error)) => match Errno::from_io_error(&error) {
            Some(errno) if inspect::is_damage(errno) => Ok(false),
            _ => Err(error).within(|| "cannot read it"),
        },
    }
}

/// Opens the regular file at `path`; `None` if there is none.
fn open(root: &OwnedFd, path: &RelativePath) -> Result<Option<Opened>> {
    match inspect::open(root, path) {
        Ok(opened) if FileType::from_raw_mode(opened.stat.st_mode) == FileType::RegularFile => {
            Ok(Some(opened))
        }
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error).within(|| "cannot open it"),
    }
}
