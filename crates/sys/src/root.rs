// SPDX-License-Identifier: Apache-2.0
//! The root directory of a process: a tree is made the root, and the old one goes.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, statat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MoveMountFlags, UnmountFlags, mount_move, mount_remount, move_mount, unmount,
};
use rustix::process::{chdir, chroot, fchdir, pivot_root};

use crate::error::{CalledOn as _, Error};
use crate::locks::identity;
use crate::mounts::{Submounts, clone_tree, make_all_private};

/// The state of the old root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldRoot {
    /// It is detached.
    Detached,
    /// It is the kernel's initial root, which pivot_root(2) can't move: it stays, and so does the process's root.
    Stays,
}

/// Makes the current directory, which has to be a mount point, the root, and detaches the old root.
///
/// # Errors
/// Returns the system's error.
pub fn pivot() -> Result<OldRoot, Error> {
    match pivot_root(".", ".") {
        Err(Errno::INVAL) => return Ok(OldRoot::Stays),
        done => done.called_on("pivot_root", ".")?,
    }
    unmount(".", UnmountFlags::DETACH).called_on("umount2", ".")?;
    chdir("/").called_on("chdir", "/")?;
    Ok(OldRoot::Detached)
}

/// Makes a copy of the mount that the current directory is on the root, with the current directory as the copy's root.
/// No other mount can be reached from there. What `flags` forbid is forbidden on the copy.
///
/// The mount namespace has to be the process's own. Where the old root is the kernel's initial root, that stays below
/// the new one. It can't be reached without `CAP_SYS_CHROOT`, `CAP_SYS_ADMIN` or a descriptor in it.
///
/// # Errors
/// Returns the system's error; `ESTALE` if something else is the root afterwards.
pub fn enter_current_directory(flags: MountFlags) -> Result<(), Error> {
    make_all_private()?;
    let tree = attach_copy()?;
    fchdir(&tree).called_on("fchdir", "the tree")?;
    mount_remount(".", MountFlags::BIND | flags, "").called_on("mount", ".")?;
    if pivot()? == OldRoot::Stays {
        mount_move(".", "/").called_on("mount", "/")?;
        chroot(".").called_on("chroot", ".")?;
        chdir("/").called_on("chdir", "/")?;
    }
    let root = statat(CWD, "/", AtFlags::empty()).called_on("newfstatat", "/")?;
    if identity(&tree)? == (root.st_dev, root.st_ino) {
        return Ok(());
    }
    Err(Errno::STALE).called_on("newfstatat", "/")
}

/// Copies the mount that the current directory is on, and attaches the copy there.
fn attach_copy() -> Result<OwnedFd, Error> {
    let tree = clone_tree(".", Submounts::No)?;
    move_mount(tree.as_fd(), "", CWD, ".", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .called_on("move_mount", ".")?;
    Ok(tree)
}
