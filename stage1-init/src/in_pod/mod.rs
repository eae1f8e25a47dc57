// SPDX-License-Identifier: Apache-2.0
//! The helpers that units call inside the pod. They are `/init` by other names: links in `/usr/lib/gantry`.

use nix::sys::signal::{SigSet, Signal};

mod enter;
pub(crate) mod launch;
pub(crate) mod mounts;
mod seccomp;
pub(crate) mod status;
mod terminated;

/// Becomes a program of an app's.
pub(crate) const LAUNCH: &str = "launch";
/// Gives every app its /proc, /sys and /dev.
pub(crate) const MOUNTS: &str = "mounts";
/// Writes how an app ended.
pub(crate) const STATUS: &str = "status";
/// Ends with the pod's exit code.
pub(crate) const EXIT_CODE: &str = "exit-code";

/// The launcher, in the pod's root.
pub(crate) const LAUNCH_PATH: &str = "/usr/lib/gantry/launch";
/// The status writer, in the pod's root.
pub(crate) const STATUS_PATH: &str = "/usr/lib/gantry/status";

/// Keeps a helper whose work is the pod's from being ended by a SIGTERM to all of the pod's processes.
pub(crate) fn outlive_requests() {
    // It can't fail for a valid set.
    let _ = SigSet::from(Signal::SIGTERM).thread_block();
}
