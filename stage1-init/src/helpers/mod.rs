// SPDX-License-Identifier: Apache-2.0
//! The helpers that units call inside the pod. They are links to `/init` under other names, in `/usr/lib/gantry`.

use nix::sys::signal::{SigSet, Signal};

mod enter;
pub(crate) mod launch;
pub(crate) mod mounts;
mod seccomp;
pub(crate) mod status;
mod terminated;

/// The helper that becomes a program of an app's.
pub(crate) const LAUNCH: &str = "launch";
/// The helper that gives every app its /proc, /sys and /dev.
pub(crate) const MOUNTS: &str = "mounts";
/// The helper that writes how an app ended.
pub(crate) const STATUS: &str = "status";
/// The helper that exits with the pod's exit code.
pub(crate) const EXIT_CODE: &str = "exit-code";

/// The launcher, in the pod's root.
pub(crate) const LAUNCH_PATH: &str = "/usr/lib/gantry/launch";
/// The status writer, in the pod's root.
pub(crate) const STATUS_PATH: &str = "/usr/lib/gantry/status";

/// Keeps a helper that works for the whole pod from being ended by a SIGTERM to all of the pod's processes.
pub(crate) fn outlive_requests() {
    // Blocking a valid set can't fail.
    let _ = SigSet::from(Signal::SIGTERM).thread_block();
}
