// SPDX-License-Identifier: Apache-2.0
//! The resource limits of a pod's processes (getrlimit(2)): the same whoever starts the pod. `/init` sets its own, and
//! nspawn, systemd and the apps inherit them.
//!
//! They are those of the kernel's first process (init_task.h, `INIT_RLIMITS`), with systemd's for descriptors and
//! locked memory. `pod::exec` counts on the stack's: a quarter of it is what arguments may take.
//!
//! Invariant: nothing of a caller's soft limits reaches an app; of the hard limits only those that are lower than
//! these do, and only where this process may not raise them.

use std::fs;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A soft and a hard limit; none is no limit.
type Pair = (Option<u64>, Option<u64>);

/// Every limit. The kernel's of processes and of pending signals follow from how many threads it can have (fork.c,
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
    let threads = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let threads = threads.trim().parse().with_context(|| format!("{path} is not a number"))?;
    for (resource, (current, maximum)) in limits(threads) {
        let wanted = Rlimit { current, maximum };
        match setrlimit(resource, wanted) {
            // Without CAP_SYS_RESOURCE, and for descriptors above the kernel's nr_open with it.
            Err(Errno::PERM) => setrlimit(resource, within(wanted, getrlimit(resource).maximum)),
            set => set,
        }
        .with_context(|| format!("cannot set the limit {resource:?}"))?;
    }
    Ok(())
}

/// The nearest to `wanted` that a process may set whose hard limit is `most`.
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
