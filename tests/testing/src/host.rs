// SPDX-License-Identifier: Apache-2.0
//! The host: what a test changes of it for its thread alone, and checks that pods leave it as it was.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Gives this thread, and the processes that it starts, a mount namespace of their own.
///
/// # Panics
/// Panics if that fails.
pub fn own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace can be made");
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .expect("mounts can be made private");
}

/// Tells whether a process waits for a lock of flock(2).
///
/// # Panics
/// Panics if the kernel's locks can't be read.
pub fn waits_for_a_lock(id: u32) -> bool {
    // The kernel lists a waiting process with an arrow (proc_locks(5)).
    let locks = fs::read_to_string("/proc/locks").expect("the kernel's locks can be read");
    let id = format!(" {id} ");
    locks.lines().any(|line| line.contains("->") && line.contains(&id))
}

/// The traces that pods could leave on a host.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot {
    mounts: Vec<String>,
    cgroups: BTreeSet<String>,
    run: BTreeSet<String>,
}

/// Records the host's mounts, cgroups and /run.
///
/// # Panics
/// Panics if these can't be read.
pub fn snapshot() -> Snapshot {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("the mount table can be read");
    // The fifth field is the mount point (proc_pid_mountinfo(5)).
    let mounts = table.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect();
    let mut cgroups = BTreeSet::new();
    list(Path::new("/sys/fs/cgroup"), &mut cgroups, 6);
    cgroups.retain(|path| path.contains("gantry"));
    let mut run = BTreeSet::new();
    list(Path::new("/run"), &mut run, 3);
    Snapshot { mounts, cgroups, run }
}

fn list(directory: &Path, into: &mut BTreeSet<String>, depth: u32) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            into.insert(entry.path().to_string_lossy().into_owned());
            if depth > 0 {
                list(&entry.path(), into, depth - 1);
            }
        }
    }
}
