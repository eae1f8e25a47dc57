// SPDX-License-Identifier: Apache-2.0
//! Moves a process from the pod's root into an app's, in a mount namespace that contains nothing but the app's root and
//! what is mounted in it.
//!
//! nspawn moves the pod's root over the private one (`enter::private_root`). The private root stays below it, unmasked and
//! with the host's devices. It can't be named there, but every mount in a mount namespace counts: a user namespace may
//! mount a new /proc and /sys if the mount namespace has them unmasked (`mount_too_revealing`, the kernel's
//! fs/namespace.c). So it is not enough to pivot away the topmost root.

use std::fs::File;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{chdir, chroot, fchdir};
use sys::mounts::{Submounts, attach, clone_tree};
use sys::namespaces::{enter_mounts, unshare_mounts};
use sys::root::{OldRoot, pivot};

use super::mounts::Copies;

/// Makes an app's root the root of this process, but of no other process in the pod, and mounts in it what the app gets
/// from the pod: the socket of the pod's systemd, too, if the app `notifies` it.
///
/// The process's new mount namespace contains neither the pod's root nor what lies below it.
pub(super) fn root(path: &str, notifies: bool) -> Result<()> {
    unshare_mounts().context("cannot make a mount namespace")?;
    let own = File::open("/proc/self/ns/mnt").context("cannot open its mount namespace")?;
    let tree = clone_tree(path, Submounts::Yes).context("cannot take the tree")?;
    let copies = Copies::take(notifies)?;
    match unmount("/", UnmountFlags::DETACH) {
        // Entering its own namespace again makes the topmost remaining mount the process's root (setns(2)).
        Ok(()) => enter_mounts(own).context("cannot enter its mount namespace")?,
        // A pod with a user namespace can't reveal what was below when it was made. `/init` has taken that away.
        Err(Errno::INVAL) => {}
        Err(error) => return Err(error).context("cannot detach the pod's root"),
    }
    attach(&tree, File::open("/")?).context("cannot mount the tree")?;
    copies.attach(&tree)?;
    fchdir(&tree)?;
    if pivot().context("cannot leave the private root")? == OldRoot::Stays {
        // This is the kernel's initial root, which every namespace must keep: nspawn had pivoted, as newer versions do.
        chroot(".").context("cannot change the root")?;
    }
    Ok(chdir("/")?)
}
