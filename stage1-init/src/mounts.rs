// SPDX-License-Identifier: Apache-2.0
//! The root in which nspawn runs: a private mount namespace that holds the pod and nothing of the host but its
//! devices and the pod's volumes.
//!
//! ```text
//! /                 tmpfs, goes with the namespace
//! /pod              stage1, with the volumes mounted in the apps' trees
//! /proc /sys /dev   /sys/fs/cgroup is cgroup2, whatever the host has there
//! /run /tmp         empty: nspawn wants /run on a tmpfs, and finds nothing of the host's
//! /etc /usr         links into /pod
//! ```
//!
//! Stage1 and the volumes are mounted nodev: what an app makes with mknod(2) opens nothing of the host's.
//!
//! Invariant: every mount is made after the namespace became private, so nothing outlives the namespace's processes
//! or shows on the host; and the host's own mounts are detached, so the pod pins none of them.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{chdir, fchdir, pivot_root};
use pod::{Mount, layout};
use rustix::mount::MountAttrFlags;

use crate::filesystem::{attach, clone_tree, create};
use crate::in_root::InRoot;
use crate::plan::describe;
use crate::sys::set_attributes;

/// Stage1's place in the private root.
pub(crate) const POD: &str = "/pod";

/// Moves this process, in the pod directory, into a private root that holds the pod.
pub(crate) fn enter(volumes: &[(String, Mount)]) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("cannot make the mounts private")?;
    let stage1 = clone_tree(layout::STAGE1).context("cannot take the stage1 tree")?;
    set_attributes(&stage1, MountAttrFlags::MOUNT_ATTR_NODEV).context("cannot restrict the stage1 tree")?;
    let devices = clone_tree("/dev").context("cannot take /dev")?;
    let sources = volumes.iter().map(|(rootfs, mount)| source(rootfs, mount)).collect::<Result<Vec<_>>>()?;

    let root = create("tmpfs", &[("mode", "0755"), ("size", "16m")], MountAttrFlags::MOUNT_ATTR_NODEV)
        .context("cannot make a tmpfs")?;
    attach(&root, File::open(".")?).context("cannot mount a tmpfs")?;
    fchdir(&root)?;
    for (name, tree) in [
        ("pod", stage1),
        ("dev", devices),
        ("proc", create_kernel("proc")?),
        ("sys", create_kernel("sysfs")?),
    ] {
        fs::create_dir(name)?;
        attach(tree, File::open(name)?).with_context(|| format!("cannot mount {name}"))?;
    }
    attach(create_kernel("cgroup2")?, File::open("sys/fs/cgroup")?).context("cannot mount cgroup2")?;
    for name in ["run", "tmp"] {
        fs::create_dir(name)?;
    }
    for name in ["etc", "usr"] {
        symlink(format!("pod/{name}"), name)?;
    }
    for ((rootfs, mount), source) in volumes.iter().zip(sources) {
        attach_volume(rootfs, mount, &source).with_context(|| describe(&mount.target, rootfs))?;
    }
    switch_root().context("cannot enter the private root")
}

fn create_kernel(fs_type: &str) -> Result<OwnedFd> {
    let safe = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    create(fs_type, &[], safe).with_context(|| format!("cannot make a {fs_type}"))
}

/// A volume's tree, as the host names it.
fn source(rootfs: &str, mount: &Mount) -> Result<OwnedFd> {
    let tree = clone_tree(mount.source.as_str()).with_context(|| {
        format!("volume source {} for the {}", mount.source, describe(&mount.target, rootfs))
    })?;
    let mut attributes = MountAttrFlags::empty();
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, mount.read_only);
    // A volume that is a device is meant as one.
    attributes.set(MountAttrFlags::MOUNT_ATTR_NODEV, is_directory(&tree)?);
    set_attributes(&tree, attributes).with_context(|| format!("cannot restrict volume {}", mount.source))?;
    Ok(tree)
}

fn is_directory(file: &OwnedFd) -> Result<bool> {
    Ok(SFlag::from_bits_truncate(fstat(file)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR)
}

/// Attaches a volume inside the app's root, where its target is made if it is missing.
fn attach_volume(rootfs: &str, mount: &Mount, source: &OwnedFd) -> Result<()> {
    let root = InRoot::open_at(File::open("pod")?, rootfs)?;
    let path = mount.target.below_root();
    let target = if is_directory(source)? { root.make_dir(&path) } else { root.make_file(&path) }?;
    if is_directory(source)? != is_directory(&target)? {
        bail!("volume {} and its target must both be directories, or neither", mount.source);
    }
    Ok(attach(source, target)?)
}

/// Makes the current directory the root and lets go of the old one. Where the host's root is the initial ramfs, which
/// can't be pivoted away (pivot_root(2)), it is moved over instead.
fn switch_root() -> Result<()> {
    match pivot_root(".", ".") {
        Ok(()) => umount2(".", MntFlags::MNT_DETACH)?,
        Err(nix::errno::Errno::EINVAL) => {
            mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)?;
            nix::unistd::chroot(".")?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(chdir("/")?)
}
