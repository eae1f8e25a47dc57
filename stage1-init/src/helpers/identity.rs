// SPDX-License-Identifier: Apache-2.0
//! Turns a launcher from the pod's root into the app's user, with the app's capabilities and no others.

use std::fs::File;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use pod::manifest::Users;
use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet as KernelSet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_keep_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use sys::rights::drop_from_bounding_set;

use crate::exchange::launch_file::{Filter, Launch};
use crate::names::NAMESPACES;

/// Opens the user namespace that the program runs in; `None` means the pod's.
pub(super) fn namespace(launch: &Launch) -> Result<Option<OwnedFd>> {
    let open = || File::open(format!("{NAMESPACES}/{}", launch.app)).map(Into::into);
    Ok((launch.users == Users::Own).then(open).transpose()?)
}

/// Becomes the program's user, in the user namespace that this process is in.
///
/// Of its capabilities, root keeps those that the app may have, and another user none, as exec would leave it. Keeps
/// `CAP_SYS_ADMIN` if a filter has to be set; exec takes it away.
pub(super) fn take_on(launch: &Launch) -> Result<()> {
    let kept = KernelSet::from_bits_retain(launch.capabilities.bits());
    // A new user namespace begins with all of them.
    drop_from_bounding_set(kept).context("cannot drop capabilities for good")?;
    clear_ambient_capability_set().context("cannot clear the ambient capabilities")?;
    // The primary group is among them, as initgroups(3) does it; root's is not.
    let primary = (launch.groups.is_empty() && launch.group != 0).then_some(launch.group);
    let groups: Vec<_> = launch.groups.iter().copied().chain(primary).map(Gid::from_raw).collect();
    set_thread_groups(&groups).context("cannot set its groups")?;
    // Otherwise the change from root to another user takes what is needed for the filter.
    set_keep_capabilities(true).context("cannot keep capabilities")?;
    let (user, group) = (Uid::from_raw(launch.user), Gid::from_raw(launch.group));
    set_thread_res_gid(group, group, group)
        .with_context(|| format!("cannot set its group {}", launch.group))?;
    set_thread_res_uid(user, user, user).with_context(|| format!("cannot set its user {}", launch.user))?;
    let mut wanted = if user.is_root() { kept } else { KernelSet::empty() };
    if launch.seccomp.as_ref().is_some_and(Filter::filters) {
        wanted |= KernelSet::SYS_ADMIN;
    }
    let CapabilitySets { permitted, .. } = capabilities(None)?;
    let left = permitted & wanted;
    let sets = CapabilitySets { effective: left, permitted: left, inheritable: KernelSet::empty() };
    set_capabilities(None, sets).context("cannot give up the launcher's capabilities")?;
    Ok(set_keep_capabilities(false)?)
}
