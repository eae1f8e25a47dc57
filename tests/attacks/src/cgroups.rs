// SPDX-License-Identifier: Apache-2.0
//! Hierarchies of cgroup v1, where the host has some: their files have no namespace but the cgroup's, and belong to
//! user 0. What is mounted is the cgroup of whoever started the pod, with all that is below.

use std::fs::{self, OpenOptions};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::{Attack, io_step, step};

pub(crate) const ATTACKS: &[(&str, Attack)] = &[("cgroup-v1", in_own_namespaces), ("cgroup-v1-as-is", take)];

fn in_own_namespaces() -> Result<(), String> {
    let own = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP;
    step("unshare", unshare(own))?;
    take()
}

/// Mounts one and opens it for writing: who writes there moves and stops the host's processes. None is made that is not
/// there: no cgroup namespace but the first may do that.
fn take() -> Result<(), String> {
    let own = io_step("read cgroup", fs::read_to_string("/proc/self/cgroup"))?;
    // "ID:CONTROLLERS:PATH" (cgroups(7)); v2 has no controllers there.
    let mut hierarchies =
        own.lines().filter_map(|line| line.split(':').nth(1)).filter(|name| !name.is_empty());
    let name = hierarchies.next().ok_or("the host has no cgroup v1")?;
    step("mount cgroup", mount(Some("cgroup"), "/tmp", Some("cgroup"), MsFlags::empty(), Some(name)))?;
    let opened = io_step("open cgroup.procs", OpenOptions::new().write(true).open("/tmp/cgroup.procs"));
    step("unmount", umount2("/tmp", MntFlags::MNT_DETACH))?;
    opened.map(drop)
}
