// SPDX-License-Identifier: Apache-2.0
//! The resource limits of a pod's processes (getrlimit(2)), which are the same whatever starts the pod. `/init` sets
//! its own limits, and nspawn, systemd and the apps inherit them.
//!
//! The limits are those of the kernel's first process (init_task.h, `INIT_RLIMITS`), with systemd's values for
//! descriptors and locked memory. `pod::exec` relies on the stack limit, since arguments may take a quarter of it.
//!
//! Invariant: none of the caller's soft limits reaches an app. A hard limit of the caller's does only if it is lower
//! than the one here and this process may not raise it.

use std::fs;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A soft and a hard limit; `None` means unlimited.
type Pair = (Option<u64>, Option<u64>);

/// Lists every limit.
///
/// The kernel derives its limits of processes and of pending signals from the maximum number of threads (fork.c,
/// `fork_init`).
fn limits(threads: u64) -> [(Resource, Pair); 16] {
    let both = |limit| (Some(limit), Some(limit));
    let unlimited = (None, None);
    [
        (Resource::Cpu, unlimited),
        (Resource::Fsize, unlimited),
        (Resource::Data, unlimited),
        (Resource::Stack, (Some(8 << 20), None)),
        (Resource::Core, (Some(0), None)),
        (Resource::Rss, unlimited),
        (Resource::Nproc, both(threads / 2)),
        (Resource::Nofile, (Some(1024), Some(512 << 10))),
        (Resource::Memlock, both(8 << 20)),
        (Resource::As, unlimited),
        (Resource::Locks, unlimited),
        (Resource::Sigpending, both(threads / 2)),
        (Resource::Msgqueue, both(819_200)),
        (Resource::Nice, both(0)),
        (Resource::Rtprio, both(0)),
        (Resource::Rttime, unlimited),
    ]
}

/// Sets this process's limits.
pub(crate) fn set() -> Result<()> {
    let path = "/proc/sys/kernel/threads-max";
    let threads = fs::read_to_string(path).with_context(|| {
        let has_sys = fs::exists("/proc/sys").unwrap_or(true);
        let why = if has_sys { "" } else { ": /proc has no sys; expected one without the option subset=pid" };
        format!("cannot read {path}{why}")
    })?;
    let threads = threads.trim().parse().with_context(|| format!("{path} is not a number"))?;
    for (resource, (current, maximum)) in limits(threads) {
        let wanted = Rlimit { current, maximum };
        match setrlimit(resource, wanted) {
            // This process has no CAP_SYS_RESOURCE, or the limit of descriptors is above the kernel's nr_open.
            Err(Errno::PERM) => setrlimit(resource, within(wanted, getrlimit(resource).maximum)),
            set => set,
        }
        .with_context(|| format!("cannot set the limit {resource:?}"))?;
    }
    Ok(())
}

/// Returns the limits nearest to `wanted` that a process with the hard limit `most` may set.
fn within(wanted: Rlimit, most: Option<u64>) -> Rlimit {
    let least = |limit: Option<u64>| limit.into_iter().chain(most).min();
    Rlimit { current: least(wanted.current), maximum: least(wanted.maximum) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hard_limit_that_can_not_be_raised_bounds_both() {
        for (wanted, most, expected) in [
            ((Some(1024), Some(4096)), Some(512), (Some(512), Some(512))),
            ((Some(1024), Some(4096)), Some(2048), (Some(1024), Some(2048))),
            ((Some(1024), Some(4096)), None, (Some(1024), Some(4096))),
            ((None, None), Some(7), (Some(7), Some(7))),
            ((Some(0), None), Some(7), (Some(0), Some(7))),
        ] {
            let found = within(Rlimit { current: wanted.0, maximum: wanted.1 }, most);
            assert_eq!((found.current, found.maximum), expected, "{wanted:?} {most:?}");
        }
    }
}
