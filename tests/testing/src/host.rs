// SPDX-License-Identifier: Apache-2.0
//! Checks on the host, which pods must leave as it was.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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
