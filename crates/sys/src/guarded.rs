// SPDX-License-Identifier: Apache-2.0
//! Directories that only root can change.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, fstat};
use rustix::process::geteuid;

use crate::error::{CalledOn as _, Error};

const OTHERS_MAY_WRITE: Mode = Mode::WGRP.union(Mode::WOTH);

/// The reason why others can change what is in a directory.
#[derive(Debug, thiserror::Error)]
pub enum Unguarded {
    /// It has another owner than this process's user.
    #[error("it belongs to user {owner}: expected {expected}")]
    Owner {
        /// The directory's owner.
        owner: u32,
        /// The user of this process.
        expected: u32,
    },
    /// Its mode lets others write.
    #[error("others than its owner can write there: mode {0:04o}")]
    Mode(u32),
    /// It can't be examined.
    #[error(transparent)]
    System(#[from] Error),
}

/// Checks that only this process's user, which is root's, can change what is in a directory.
///
/// # Errors
/// See [`Unguarded`].
pub fn check(directory: impl AsFd) -> Result<(), Unguarded> {
    check_open(directory.as_fd())
}

fn check_open(directory: BorrowedFd<'_>) -> Result<(), Unguarded> {
    let stat = fstat(directory).called_on("fstat", "directory")?;
    let expected = geteuid().as_raw();
    if stat.st_uid != expected {
        return Err(Unguarded::Owner { owner: stat.st_uid, expected });
    }
    let mode = Mode::from_raw_mode(stat.st_mode);
    if mode.intersects(OTHERS_MAY_WRITE) {
        return Err(Unguarded::Mode(mode.bits()));
    }
    Ok(())
}
