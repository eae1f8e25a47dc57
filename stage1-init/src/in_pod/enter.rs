// SPDX-License-Identifier: Apache-2.0
//! From the pod's root into an app's, in a mount namespace in which the app's root is all there is.
//!
//! nspawn moves the pod's root over the private one ([`crate::mounts`]), which stays below it, unmasked and with the
//! host's devices. What is below can't be named, but what is in a mount namespace counts: a user namespace may mount
//! /proc and /sys anew where the namespace has them unmasked (`mount_too_revealing`, the kernel's fs/namespace.c). To
//! pivot away the topmost root is thus not enough.

use std::fs::File;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{chdir, chroot, fchdir, pivot_root};

use crate::filesystem::{Submounts, attach, clone_tree};

/// Makes an app's root this process's, alone of the pod's processes: of the pod's root, and of what is below it, nothing
/// is left in its mount namespace.
pub(super) fn root(path: &str) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
    let own = File::open("/proc/self/ns/mnt").context("cannot open its mount namespace")?;
    let tree = clone_tree(path, Submounts::Yes).context("cannot take the tree")?;
    umount2("/", MntFlags::MNT_DETACH).context("cannot detach the pod's root")?;
    // Into the namespace it is in: the process's root becomes the topmost that is still there (setns(2)).
    setns(own, CloneFlags::CLONE_NEWNS).context("cannot enter its mount namespace")?;
    attach(&tree, File::open("/")?).context("cannot mount the tree")?;
    fchdir(&tree)?;
    match pivot_root(".", ".") {
        Ok(()) => umount2(".", MntFlags::MNT_DETACH).context("cannot detach the private root")?,
        // That was the kernel's first root, which no namespace can be without: nspawn had pivoted, as newer ones do.
        Err(Errno::EINVAL) => chroot(".").context("cannot change the root")?,
        Err(error) => return Err(error).context("cannot pivot"),
    }
    Ok(chdir("/")?)
}
