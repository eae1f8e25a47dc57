// SPDX-License-Identifier: Apache-2.0
//! Confines the log writer: it keeps its directory and its descriptors, and nothing else.

use std::io;
use std::os::fd::RawFd;

use rustix::mount::MountFlags;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities, set_no_new_privs,
};
use sys::descriptors::close_others;
use sys::rights::drop_from_bounding_set;
use sys::{namespaces, root};

/// The most memory for data.
const DATA_MAX: u64 = 64 << 20;

/// Confines this process, which must have one thread, to its current directory, its stdio and the descriptors `kept`.
pub(super) fn enter(kept: &[RawFd]) -> io::Result<()> {
    umask(rustix::fs::Mode::from_raw_mode(0o077));
    close_others(|number| kept.contains(&number))?;
    for (resource, most) in [(Resource::Core, 0), (Resource::Data, DATA_MAX)] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    namespaces::isolate()?;
    root::enter_current_directory(MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC)?;
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    drop_from_bounding_set(CapabilitySet::empty())?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
