// SPDX-License-Identifier: Apache-2.0
//! The new mount API (fsopen(2), open_tree(2), move_mount(2)): mounts are made as descriptors and attached later.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::CWD;
use rustix::io::Result;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

/// Makes a new file system of this type, mounted nowhere yet.
pub(crate) fn create(fs_type: &str, options: &[(&str, &str)], attributes: MountAttrFlags) -> Result<OwnedFd> {
    let context = fsopen(fs_type, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        fsconfig_set_string(context.as_fd(), *key, *value)?;
    }
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Whether a copy of a tree includes the mounts below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Submounts {
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
pub(crate) fn clone_tree(path: &str, submounts: Submounts) -> Result<OwnedFd> {
    open_tree(CWD, path, submounts.flags())
}

/// Copies the mount that an open file or directory is on, with that as the copy's root.
pub(crate) fn clone_tree_at(file: impl AsFd, submounts: Submounts) -> Result<OwnedFd> {
    open_tree(file, "", submounts.flags() | OpenTreeFlags::AT_EMPTY_PATH)
}

/// Attaches a mount to an open file or directory.
pub(crate) fn attach(mount: impl AsFd, target: impl AsFd) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags)
}
