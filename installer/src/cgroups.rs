// SPDX-License-Identifier: Apache-2.0
//! Removes cgroups that pods have left behind: if a pod's reaper was killed, its empty cgroup stays.
//!
//! They are looked for where a start would make them, below this process's own cgroup. Invariant: a cgroup is removed
//! only if it has a pod's name, holds no process, and is not locked by any other process. `/init` locks its pod's cgroup
//! as soon as it has made it, and the pod's reaper holds that lock until it ends.

use anyhow::{Context as _, Result};
use pod::layout::is_cgroup;
use rustix::io::Errno;
use sys::cgroups::{Cgroup, isolate};

/// Removes the empty cgroups that pods have left.
///
/// # Errors
/// Fails if a cgroup can't be examined or removed, unless that is because it is in use. It is no error if cgroup v2
/// can't be reached: then no start has left any cgroup.
pub(crate) fn sweep() -> Result<()> {
    match isolate() {
        Err(Errno::PERM) => return Ok(()),
        isolated => isolated.context("cannot make a cgroup namespace")?,
    }
    match Cgroup::of_this_process() {
        Err(error) if matches!(error.errno, Errno::PERM | Errno::NODEV | Errno::NOSYS) => Ok(()),
        own => Ok(own.context("cannot reach cgroup v2")?.sweep(is_cgroup)?),
    }
}
