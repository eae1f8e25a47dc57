// SPDX-License-Identifier: Apache-2.0
//! Mounts file systems that show what is masked. A user namespace gives the app the capabilities for it. The kernel
//! permits a new mount of a file system that is already somewhere in the mount namespace, unmasked
//! (`mount_too_revealing` in fs/namespace.c). A sysctl in it is writable for its owner, user 0.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt as _;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, configure_capability_in_ambient_set, set_capabilities,
};

use crate::attack::{Attack, go_on, io_step, step};

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

/// Continues in new user and mount namespaces, and in a namespace of the kind that owns what is mounted.
fn in_own_namespaces(kind: CloneFlags, inside: &str) -> Result<(), String> {
    step("unshare", unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | kind))?;
    step("keep its capabilities", keep_capabilities())?;
    go_on(inside)
}

/// The namespace has no root user, so the executed program has only the ambient capabilities (capabilities(7)).
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

/// Opens the sysctl that names the program that the kernel executes as root on the host after a crash.
fn sysctl() -> Result<(), String> {
    mount_fresh("proc")?;
    let opened = OpenOptions::new().write(true).open("/tmp/sys/kernel/core_pattern");
    io_step("open core_pattern", opened).map(drop)
}

/// Unmounts the root, and looks at what it was mounted on.
fn beneath(namespaces: CloneFlags) -> Result<(), String> {
    step("unshare", unshare(namespaces))?;
    let own = io_step("open ns/mnt", File::open("/proc/self/ns/mnt"))?;
    loop {
        match umount2("/", MntFlags::MNT_DETACH) {
            // This is the first mount of all, which is empty.
            Err(Errno::EINVAL) => return Err("nothing is beneath".into()),
            detached => step("umount", detached)?,
        }
        // Entering the own namespace again makes the topmost mount the process's root.
        step("setns", setns(&own, CloneFlags::CLONE_NEWNS))?;
        if io_step("look", has_mounts())? {
            return Ok(());
        }
    }
}

/// Tells whether something is mounted in the root.
fn has_mounts() -> std::io::Result<bool> {
    let root = fs::metadata("/")?.dev();
    for entry in fs::read_dir("/")? {
        if entry?.metadata()?.dev() != root {
            return Ok(true);
        }
    }
    Ok(false)
}
