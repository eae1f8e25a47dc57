// SPDX-License-Identifier: Apache-2.0
//! Mounts as descriptors (fsopen(2), open_tree(2), move_mount(2), mount_setattr(2)): they are made first, and attached
//! later.
#![allow(unsafe_code, reason = "rustix has no mount_setattr(2)")]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::CWD;
use rustix::io::Errno;
pub use rustix::mount::MountAttrFlags;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, open_tree,
};

use crate::error::{CalledOn as _, Error};

/// Makes a new file system of this type, mounted nowhere yet.
///
/// # Errors
/// Returns the system's error.
pub fn create(fs_type: &str, options: &[(&str, &str)], attributes: MountAttrFlags) -> Result<OwnedFd, Error> {
    let context = fsopen(fs_type, FsOpenFlags::FSOPEN_CLOEXEC).called_on("fsopen", fs_type)?;
    for (key, value) in options {
        fsconfig_set_string(context.as_fd(), *key, *value).called_on("fsconfig", key)?;
    }
    fsconfig_create(context.as_fd()).called_on("fsconfig", fs_type)?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).called_on("fsmount", fs_type)
}

/// Whether a copy of a tree includes the mounts below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submounts {
    /// It includes them.
    Yes,
    /// It does not include them.
    No,
}

impl Submounts {
    fn flags(self) -> OpenTreeFlags {
        let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        if self == Self::Yes { clone | OpenTreeFlags::AT_RECURSIVE } else { clone }
    }
}

/// Copies the mount that `path` is on, with `path` as the copy's root.
///
/// # Errors
/// Returns the system's error.
pub fn clone_tree(path: &str, submounts: Submounts) -> Result<OwnedFd, Error> {
    open_tree(CWD, path, submounts.flags()).called_on("open_tree", path)
}

/// Copies the mount that an open file or directory is on, with that as the copy's root.
///
/// # Errors
/// Returns the system's error.
pub fn clone_tree_at(file: impl AsFd, submounts: Submounts) -> Result<OwnedFd, Error> {
    open_tree(file, "", submounts.flags() | OpenTreeFlags::AT_EMPTY_PATH).called_on("open_tree", "file")
}

/// Attaches a mount to an open file or directory.
///
/// # Errors
/// Returns the system's error.
pub fn attach(mount: impl AsFd, target: impl AsFd) -> Result<(), Error> {
    attach_to(mount.as_fd(), target.as_fd())
}

fn attach_to(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Error> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags).called_on("move_mount", "file")
}

/// Makes all mounts of this mount namespace private: none shows in another namespace, or comes from one.
///
/// # Errors
/// Returns the system's error.
pub fn make_all_private() -> Result<(), Error> {
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).called_on("mount", "/")
}

/// The mounts that an attribute is set on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Only the mount itself.
    One,
    /// The mount and all mounts below it.
    All,
}

/// Sets attributes on a mount, and makes it private.
///
/// # Errors
/// Returns the system's error.
pub fn set_attributes(mount: impl AsFd, attributes: MountAttrFlags, depth: Depth) -> Result<(), Error> {
    change(mount.as_fd(), u64::from(attributes.bits()), 0, depth)
}

/// Maps the ids of a mount that is mounted nowhere yet, and makes it private: an id on disk is what it is outside of this
/// user namespace (mount_setattr(2), "ID-mapped mounts").
///
/// # Errors
/// Returns the system's error; `EINVAL` if its file system can't map ids, `EPERM` if its ids are mapped already.
pub fn map_ids(mount: impl AsFd, namespace: impl AsFd, depth: Depth) -> Result<(), Error> {
    let namespace = u64::try_from(namespace.as_fd().as_raw_fd()).map_err(|_| Errno::BADF);
    change(mount.as_fd(), libc::MOUNT_ATTR_IDMAP, namespace.called_on("mount_setattr", "mount")?, depth)
}

fn change(mount: BorrowedFd<'_>, attr_set: u64, userns_fd: u64, depth: Depth) -> Result<(), Error> {
    let attr = libc::mount_attr { attr_set, attr_clr: 0, propagation: libc::MS_PRIVATE, userns_fd };
    let flags = libc::AT_EMPTY_PATH | if depth == Depth::All { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a NUL-terminated empty string and `attr` outlives the call, with its own size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of_val(&attr),
        )
    };
    let errno = || Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL);
    if result == 0 { Ok(()) } else { Err(errno()).called_on("mount_setattr", "mount") }
}
