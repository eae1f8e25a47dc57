// SPDX-License-Identifier: Apache-2.0
//! Drops all privileges and access that making a tree doesn't need.
//!
//! Each step can fail, and any failure ends the worker.

use std::io;

use rustix::fs::Mode;
use rustix::mount::MountFlags;
use rustix::process::{
    DumpableBehavior, Pid, Resource, Rlimit, Signal, getppid, getrlimit, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit, umask,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities, set_no_new_privs,
};

use super::calls;
use super::job::Order;
use crate::fault::{Result, Within as _};
use archive::Limits;
use sys::descriptors::close_others;
use sys::rights::drop_from_bounding_set;
use sys::{namespaces, root};

/// The capabilities needed to make an image's objects: owners, modes whatever the owner, set-user-id bits, devices and
/// file capabilities.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::SETFCAP);

/// Confines this process, which must still be single-threaded, to its current directory.
pub(super) fn enter(order: &Order) -> Result<()> {
    enter_with(order, || Ok(()))
}

/// Confines this process. `take` receives what the installer hands over beside the standard streams, after all other
/// descriptors were closed, and reads none of it.
pub(super) fn enter_with(order: &Order, take: impl FnOnce() -> Result<()>) -> Result<()> {
    die_with(order.parent)?;
    umask(Mode::empty());
    // Those that the installer's caller left open, and those that the installer opened for other uses meanwhile.
    close_others(|_| false).within(|| "cannot close descriptors")?;
    take()?;
    limit(Resource::Core, 0)?;
    limit(Resource::Data, memory(&order.job.limits))?;
    namespaces::isolate().within(|| "cannot make namespaces")?;
    enter_tree().within(|| "cannot make the new tree the root")?;
    set_no_new_privs(true).within(|| "cannot give up new privileges")?;
    drop_capabilities().within(|| "cannot drop capabilities")?;
    // All workers run as the same user: a compromised one must not be able to trace another.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).within(|| "cannot refuse to be traced")?;
    calls::permit_only_what_unpacking_takes().within(|| "cannot give up system calls")
}

/// Makes this process end when its parent does. The parent may have ended already, which is an error.
fn die_with(parent: i32) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).within(|| "cannot ask to end with the installer")?;
    if getppid().map(Pid::as_raw_pid) == Some(parent) {
        return Ok(());
    }
    Err(io::Error::other("the installer has ended: expected it to wait").into())
}

/// Returns the address space that a worker may have for data: what its limits allow, plus 64 MiB for everything else.
fn memory(limits: &Limits) -> u64 {
    (limits.directories as u64).saturating_add(limits.decoder_memory).saturating_add(64 << 20)
}

fn limit(resource: Resource, most: u64) -> Result<()> {
    let before = getrlimit(resource);
    let most = before.maximum.map_or(most, |maximum| maximum.min(most));
    setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
        .within(|| "cannot limit its memory")
}

/// Makes the current directory the root of this process, which can reach no other mount.
fn enter_tree() -> Result<()> {
    let safe = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(root::enter_current_directory(safe)?)
}

fn drop_capabilities() -> io::Result<()> {
    clear_ambient_capability_set()?;
    drop_from_bounding_set(KEPT)?;
    let sets = CapabilitySets { effective: KEPT, permitted: KEPT, inheritable: CapabilitySet::empty() };
    Ok(set_capabilities(None, sets)?)
}
