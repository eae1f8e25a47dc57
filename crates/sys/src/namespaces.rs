// SPDX-License-Identifier: Apache-2.0
//! Namespaces of a process (namespaces(7)).

use std::io;

// rustix has no safe function for this.
use nix::sched::{CloneFlags, unshare};

/// Gives this process a mount, a network and an IPC namespace of its own. The process must have one thread.
///
/// # Errors
/// Returns the system's error.
pub fn isolate() -> io::Result<()> {
    Ok(unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC)?)
}
