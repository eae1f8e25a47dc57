// SPDX-License-Identifier: Apache-2.0
//! The helpers inside the pod, which nspawn (the boot program), units and `gantry enter` start. They are links to `/init` under other names, in `/usr/lib/gantry`.

use nix::sys::signal::{SigSet, Signal};

pub(crate) mod boot;
mod enter;
mod identity;
pub(crate) mod launch;
pub(crate) mod metadata;
mod mounts;
mod notify;
pub(crate) mod status;
mod terminal;
mod terminated;

/// Above every number at which an app's sockets are received or passed on.
const OUT_OF_THE_WAY: i32 = 512;

/// Keeps a helper that works for the whole pod from being ended by a SIGTERM to all of the pod's processes.
pub(crate) fn outlive_requests() {
    // Blocking a valid set can't fail.
    let _ = SigSet::from(Signal::SIGTERM).thread_block();
}
