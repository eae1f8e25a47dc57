// SPDX-License-Identifier: Apache-2.0
//! Attacks through hierarchies of cgroup v1, where the host has some. Their files belong to user 0, and only a cgroup
//! namespace confines them. A mount shows the cgroup of the process that started the pod, with everything below it.

use std::fs::{self, OpenOptions};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::attack::{Attack, io_step, step};

pub(crate) const ATTACKS: &[(&str, Attack)] = &[("cgroup-v1", in_own_namespaces), ("cgroup-v1-as-is", take)];

fn in_own_namespaces() -> Result<(), String> {
    let own = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP;
    step("unshare", unshare(own))?;
    take()
}

/// Mounts a hierarchy and opens it for writing: a process that writes there can move and stop the host's processes. It
/// makes no new hierarchy, since only the first cgroup namespace may do that.
fn take() -> Result<(), String> {
    let own = io_step("read cgroup", fs::read_to_string("/proc/self/cgroup"))?;
    // "ID:CONTROLLERS:PATH" (cgroups(7)). v2 has no controllers there.
    let mut hierarchies =
        own.lines().filter_map(|line| line.split(':').nth(1)).filter(|name| !name.is_empty());
    let name = hierarchies.next().ok_or("the host has no cgroup v1")?;
    step("mount cgroup", mount(Some("cgroup"), "/tmp", Some("cgroup"), MsFlags::empty(), Some(name)))?;
    let opened = io_step("open cgroup.procs", OpenOptions::new().write(true).open("/tmp/cgroup.procs"));
    step("unmount", umount2("/tmp", MntFlags::MNT_DETACH))?;
    opened.map(drop)
}
