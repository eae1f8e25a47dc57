// SPDX-License-Identifier: Apache-2.0
//! The removal of a staging directory that is not published: a guard, which removes on drop.

use std::cell::Cell;
use std::ffi::CString;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, fstat, statat};
use rustix::io::Errno;

use super::mounted;
use crate::data_dir::DataDir;
use crate::fault::Fault;
use crate::unremoved::Unremoved;

/// Removes a locked directory of staging on drop, as long as the removal is due.
#[derive(Debug)]
pub(super) struct Removal<'h> {
    data_dir: &'h DataDir,
    name: CString,
    /// The directory's device and inode.
    identity: (u64, u64),
    is_due: Cell<bool>,
}

impl<'h> Removal<'h> {
    /// Plans to remove `directory`, which has this name in staging. The caller drops the lock on it later than this.
    pub(super) fn of(data_dir: &'h DataDir, name: CString, directory: &OwnedFd) -> Result<Self, Errno> {
        let stat = fstat(directory)?;
        Ok(Self { data_dir, name, identity: (stat.st_dev, stat.st_ino), is_due: Cell::new(true) })
    }

    /// Notes whether the directory has its name in staging, so that its removal is due.
    pub(super) fn set_due(&self, is_due: bool) {
        self.is_due.set(is_due);
    }

    /// Removes the directory. If a different one has its name by now, that one is left to the sweep.
    fn remove(&self) -> Result<(), Unremoved> {
        match statat(&self.data_dir.staging, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(Fault::from(error).into()),
            Ok(there) if (there.st_dev, there.st_ino) == self.identity => {
                mounted::remove(self.data_dir, &self.name)
            }
            Ok(_) => Ok(()),
        }
    }
}

impl Drop for Removal<'_> {
    /// If the removal fails, the next run's sweep removes the directory.
    fn drop(&mut self) {
        if self.is_due.get()
            && let Err(error) = self.remove()
        {
            let name = self.name.to_string_lossy();
            self.data_dir.listener.warn(&format!("cannot remove staging/{name}: {error}"));
        }
    }
}
