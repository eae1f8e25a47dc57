// SPDX-License-Identifier: Apache-2.0
//! The staging directory of a pod or a tree: built in `staging/`, then published under its final name.
//!
//! `staging/ID` is locked by the process that builds it, and is renamed once it is on disk. Invariants: everything in
//! `containers/` and the store is complete; an unlocked directory in `staging/` was left by a dead run, and the next
//! run removes it. So a run may be killed at any moment.

mod mounted;
mod name;
mod removal;
mod sweep;
mod take_out;

use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pod::id::PodId;
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, RenameFlags, Uid, fchmod, fchown, fsync, mkdirat, openat, renameat_with,
    statat, syncfs, unlinkat,
};
use rustix::io::Errno;

use crate::data_dir::DataDir;
use crate::error::{About as _, Error, Result};
use crate::fault::{Fault, Within as _};
use name::{ATTEMPTS, name_of, random};
use removal::Removal;
use sys::{locks, open_beneath, write_out, xattrs};

pub use crate::unremoved::{Mounted, Unremoved, damage_or_error};
pub use sweep::{Locked, lock};
pub use sys::locks::is_called;
pub use take_out::{remove_from_store, remove_pod};

const DIRECTORY_MODE: Mode =
    Mode::RWXU.union(Mode::RGRP).union(Mode::XGRP).union(Mode::ROTH).union(Mode::XOTH);
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// How a staging directory is synced to disk before it is renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// The whole file system is synced, as the directory holds a tree.
    FileSystem,
    /// The directory itself is synced, and in it what was written by [`Staging::write_file`] or handed to
    /// [`Staging::sync_with_it`]: nothing else is in it, but for empty directories.
    Files,
}

/// The result of publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// The directory was published.
    New,
    /// The name was taken already.
    Taken,
}

/// A directory being built. It is locked. On drop it is removed, unless it was published.
#[derive(Debug)]
pub struct Staging<'h> {
    /// Dropped before `directory`, which holds the lock.
    removal: Removal<'h>,
    data_dir: &'h DataDir,
    id: PodId,
    name: CString,
    directory: OwnedFd,
    /// Objects in it that have to be synced before it is renamed, by their names.
    unsynced: RefCell<Vec<(String, OwnedFd)>>,
}

impl<'h> Staging<'h> {
    /// Removes what dead runs left behind, except for directories with mounts in them, which are returned.
    pub fn sweep(data_dir: &DataDir) -> Result<Vec<Mounted>> {
        sweep::sweep(data_dir)
    }

    /// Does the same as `sweep`, but warns of the directories that stay.
    pub fn sweep_or_warn(data_dir: &DataDir) -> Result<()> {
        for mounted in Self::sweep(data_dir)? {
            data_dir.listener.warn(&format!("what a dead run left stays: {mounted}"));
        }
        Ok(())
    }

    /// Creates and locks a new directory.
    pub fn create(data_dir: &'h DataDir) -> Result<Self> {
        for _ in 0..ATTEMPTS {
            if let Some(staging) = Self::try_create(data_dir, PodId::from_random(random()?))? {
                return Ok(staging);
            }
        }
        Err(Error::Contended(format!("cannot create a staging directory: {ATTEMPTS} names were taken")))
    }

    fn try_create(data_dir: &'h DataDir, id: PodId) -> Result<Option<Self>> {
        let name = name_of(id);
        match statat(&data_dir.containers, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            other => return other.map(|_| None).about(|| "cannot look into containers"),
        }
        match mkdirat(&data_dir.staging, &name, Mode::RWXU) {
            Err(Errno::EXIST) => return Ok(None),
            done => done.about(|| "cannot create a staging directory")?,
        }
        // A sweep may lock it before this process does, and remove it as dead.
        let Locked { directory } = match lock(&data_dir.staging, &name) {
            Ok(None) => return Ok(None),
            Ok(Some(locked)) => locked,
            Err(error) => {
                // Usually only the process with the lock removes a directory; but no other process draws this name.
                let _ = unlinkat(&data_dir.staging, &name, AtFlags::REMOVEDIR);
                return Err(error).about(|| "cannot lock the staging directory");
            }
        };
        let removal = Removal::of(data_dir, name.clone(), &directory)
            .about(|| "cannot look at the staging directory")?;
        let staging = Self { removal, data_dir, id, name, directory, unsynced: RefCell::default() };
        staging.forget_inherited()?;
        Ok(Some(staging))
    }

    /// Removes what the new directory inherited from a set-group-id bit or a default ACL of DIR. Trees must not inherit
    /// it.
    fn forget_inherited(&self) -> Result<()> {
        for name in [b"system.posix_acl_default".as_slice(), b"system.posix_acl_access"] {
            xattrs::remove(&self.directory, name).about(|| "cannot remove the staging directory's ACL")?;
        }
        fchown(&self.directory, Some(Uid::ROOT), Some(Gid::ROOT))
            .about(|| "cannot set the staging directory's owner")?;
        fchmod(&self.directory, Mode::RWXU).about(|| "cannot set the staging directory's mode")
    }

    /// Returns the directory's name, which is the pod's id if it is a pod's.
    pub fn id(&self) -> PodId {
        self.id
    }

    /// Returns the directory.
    pub fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    /// Makes a subdirectory with mode 0755.
    pub fn make_directory(&self, name: &str) -> Result<OwnedFd> {
        make_directory(&self.directory, name)
    }

    /// Writes a file with mode 0600 into the directory. It is synced to disk when the directory is published.
    pub fn write_file(&self, name: &str, content: &[u8]) -> Result<()> {
        let write = || -> Result<File> {
            let mut file = self.create_file(name)?;
            file.write_all(content)?;
            Ok(file)
        };
        let file = write().about(|| format!("cannot write {name}"))?;
        self.sync_with_it(name, file.into());
        Ok(())
    }

    /// Notes that an object in the directory has to be synced to disk when the directory is published.
    pub fn sync_with_it(&self, name: &str, object: OwnedFd) {
        self.unsynced.borrow_mut().push((name.to_owned(), object));
    }

    /// Makes an empty file with mode 0600 in the directory.
    pub fn create_file(&self, name: &str) -> Result<File> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || -> rustix::io::Result<OwnedFd> {
            let file = openat(&self.directory, name, flags, FILE_MODE)?;
            fchmod(&file, FILE_MODE)?;
            Ok(file)
        };
        Ok(File::from(create().about(|| format!("cannot create {name}"))?))
    }

    /// Syncs the directory to disk and renames it to `name` in `parent`. `self` keeps the lock.
    ///
    /// # Errors
    /// If that fails. Nothing has appeared in `parent` then.
    pub fn publish(&self, parent: &OwnedFd, name: &CStr, how: Sync) -> Result<Published> {
        match how {
            Sync::FileSystem => syncfs(&self.directory).map_err(Error::from),
            Sync::Files => self.sync_objects().and_then(|()| Ok(fsync(&self.directory)?)),
        }
        .about(|| "cannot sync the staging directory")?;
        match renameat_with(&self.data_dir.staging, &self.name, parent, name, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => return Ok(Published::Taken),
            done => done.about(|| "cannot rename the staging directory to its place")?,
        }
        self.removal.set_due(false);
        if let Err(error) = fsync(parent) {
            self.withdraw(parent, name);
            return Err(error).about(|| "cannot sync the directory above");
        }
        Ok(Published::New)
    }

    /// Syncs the directory to disk and exchanges it with the store's tree `name`. The caller has to remove the old tree
    /// then, which has the staging directory's name.
    ///
    /// # Errors
    /// If that fails, or something is mounted in the tree. Both are in their old places then.
    pub fn replace(&self, name: &CStr) -> Result<()> {
        let parent = &self.data_dir.trees;
        mounted::check_tree(self.data_dir, name).about(|| "cannot replace what is there")?;
        syncfs(&self.directory).about(|| "cannot sync the staging directory")?;
        self.exchange(parent, name).about(|| "cannot change places with what is there")?;
        self.removal.set_due(false);
        let synced = fsync(parent);
        if synced.is_err() {
            match self.exchange(parent, name) {
                Ok(()) => self.removal.set_due(true),
                Err(error) => {
                    let name = name.to_string_lossy();
                    self.data_dir.listener.warn(&format!("cannot change places again with {name}: {error}"));
                }
            }
        }
        synced.about(|| "cannot sync the directory above")
    }

    /// Syncs the noted objects, the last first; the last are files. Each sync may wait for a transaction of the file
    /// system's journal. So all writing is begun before, and one transaction has all of it.
    fn sync_objects(&self) -> Result<()> {
        let unsynced = self.unsynced.borrow();
        for (name, object) in unsynced.iter() {
            write_out::begin(object).about(|| format!("cannot begin to write {name} to disk"))?;
        }
        unsynced
            .iter()
            .rev()
            .try_for_each(|(name, object)| fsync(object).about(|| format!("cannot sync {name}")))
    }

    fn exchange(&self, parent: &OwnedFd, name: &CStr) -> rustix::io::Result<()> {
        renameat_with(&self.data_dir.staging, &self.name, parent, name, RenameFlags::EXCHANGE)
    }

    /// Removes the locked directory that has its name in staging: itself, or the tree that it was exchanged with.
    pub fn remove(&self) -> Result<()> {
        self.removal.set_due(false);
        mounted::remove_all(self.data_dir, &self.name).about(|| format!("cannot remove staging/{}", self.id))
    }

    /// Moves a published directory back into staging, or warns.
    pub fn withdraw(&self, parent: &OwnedFd, name: &CStr) {
        if let Err(error) = self.try_withdraw(parent, name) {
            let name = name.to_string_lossy();
            self.data_dir.listener.warn(&format!("cannot take back {name}: {error}"));
        }
    }

    /// Moves a published directory back into staging. A half-removed directory must never be seen, so it is renamed
    /// before it is removed.
    pub fn try_withdraw(&self, parent: &OwnedFd, name: &CStr) -> rustix::io::Result<()> {
        renameat_with(parent, name, &self.data_dir.staging, &self.name, RenameFlags::NOREPLACE)?;
        self.removal.set_due(true);
        Ok(())
    }

    /// Downgrades the lock of the published directory, so that other processes can share it.
    pub fn share(&self) -> Result<()> {
        locks::downgrade(&self.directory).about(|| "cannot share the lock")
    }

    /// Returns the published directory with its lock.
    pub fn into_locked(self) -> Locked {
        Locked { directory: self.directory }
    }
}

impl AsFd for Staging<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Makes a directory in `parent` with mode 0755, whatever the umask.
pub fn make_directory(parent: &OwnedFd, name: &str) -> Result<OwnedFd> {
    mkdirat(parent, name, Mode::RWXU).about(|| format!("cannot create {name}"))?;
    let directory = open_below(parent, name)?;
    fchmod(&directory, DIRECTORY_MODE).about(|| format!("cannot set the mode of {name}"))?;
    Ok(directory)
}

/// Opens one of Gantry's own directories without following links.
pub fn open_below(parent: impl AsFd, name: &str) -> Result<OwnedFd, Fault> {
    let opened = open_beneath(parent, name, OFlags::RDONLY | OFlags::DIRECTORY);
    opened.within(|| format!("cannot open {name}"))
}

#[cfg(test)]
pub mod tests;
