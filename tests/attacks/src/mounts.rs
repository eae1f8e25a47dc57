// SPDX-License-Identifier: Apache-2.0
//! Mounts that show what is masked: a user namespace of its own gives an app the capabilities to make them, and the
//! kernel lets it have a file system anew that is somewhere in its mount namespace, unmasked (`mount_too_revealing` in
//! fs/namespace.c). To a sysctl's owner, user 0, it is writable there.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt as _;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, configure_capability_in_ambient_set, set_capabilities,
};

use crate::{Attack, go_on, io_step, step};

pub(crate) const ATTACKS: &[(&str, Attack)] = &[
    ("fresh-proc", || in_own_namespaces(CloneFlags::CLONE_NEWPID, "proc-inside")),
    ("proc-inside", || mount_fresh("proc")),
    ("sysctl", || in_own_namespaces(CloneFlags::CLONE_NEWPID, "sysctl-inside")),
    ("sysctl-inside", sysctl),
    ("fresh-sysfs", || in_own_namespaces(CloneFlags::CLONE_NEWNET, "sysfs-inside")),
    ("sysfs-inside", || mount_fresh("sysfs")),
    ("beneath", || beneath(CloneFlags::CLONE_NEWNS)),
    ("beneath-as-own-root", || beneath(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUSER)),
];

/// Goes on in a user and a mount namespace of its own, and one that owns what is mounted.
fn in_own_namespaces(kind: CloneFlags, inside: &str) -> Result<(), String> {
    step("unshare", unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | kind))?;
    step("keep its capabilities", keep_capabilities())?;
    go_on(inside)
}

/// The namespace has no root: what is executed has the ambient capabilities alone (capabilities(7)).
fn keep_capabilities() -> rustix::io::Result<()> {
    let CapabilitySets { effective, permitted, .. } = capabilities(None)?;
    let inheritable = CapabilitySet::SYS_ADMIN;
    set_capabilities(None, CapabilitySets { effective, permitted, inheritable })?;
    configure_capability_in_ambient_set(inheritable, true)
}

fn mount_fresh(fs_type: &str) -> Result<(), String> {
    let mounted = mount(Some(fs_type), "/tmp", Some(fs_type), MsFlags::empty(), None::<&str>);
    step(format_args!("mount {fs_type}"), mounted)
}

/// What the kernel executes as root on the host where a program crashes.
fn sysctl() -> Result<(), String> {
    mount_fresh("proc")?;
    let opened = OpenOptions::new().write(true).open("/tmp/sys/kernel/core_pattern");
    io_step("open core_pattern", opened).map(drop)
}

/// Takes the root away, and looks at what it was mounted on.
fn beneath(namespaces: CloneFlags) -> Result<(), String> {
    step("unshare", unshare(namespaces))?;
    let own = io_step("open ns/mnt", File::open("/proc/self/ns/mnt"))?;
    loop {
        match umount2("/", MntFlags::MNT_DETACH) {
            // The first of all, which is empty.
            Err(Errno::EINVAL) => return Err("nothing is beneath".into()),
            detached => step("umount", detached)?,
        }
        // In an own namespace, a process's root becomes the topmost that is there.
        step("setns", setns(&own, CloneFlags::CLONE_NEWNS))?;
        if io_step("look", has_mounts())? {
            return Ok(());
        }
    }
}

/// Whether something is mounted in the root.
fn has_mounts() -> std::io::Result<bool> {
    let root = fs::metadata("/")?.dev();
    for entry in fs::read_dir("/")? {
        if entry?.metadata()?.dev() != root {
            return Ok(true);
        }
    }
    Ok(false)
}
