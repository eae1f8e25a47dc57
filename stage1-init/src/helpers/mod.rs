// SPDX-License-Identifier: Apache-2.0
//! The helpers that units call inside the pod. They are links to `/init` under other names, in `/usr/lib/gantry`.

use nix::sys::signal::{SigSet, Signal};

pub(crate) mod boot;
mod enter;
mod identity;
pub(crate) mod launch;
pub(crate) mod metadata;
mod mounts;
pub(crate) mod status;
mod terminated;

/// Keeps a helper that works for the whole pod from being ended by a SIGTERM to all of the pod's processes.
pub(crate) fn outlive_requests() {
    // Blocking a valid set can't fail.
    let _ = SigSet::from(Signal::SIGTERM).thread_block();
}
