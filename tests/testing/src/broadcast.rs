// SPDX-License-Identifier: Apache-2.0
//! Sends signals to every process of a pod, as a supervisor does that only knows the pod's cgroup.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::pods::Running;

/// Signals the pod's process and everything in the pod's cgroup, until no process is left that was not signalled.
/// systemd does the same (systemd.kill(5), `control-group`).
///
/// # Panics
/// Panics if cgroups can't be found.
pub fn to_all(running: &Running, signal: Signal) {
    let cgroup = cgroup(running.id(), &running.pod_id());
    let mut signalled = BTreeSet::new();
    loop {
        let mut found = processes(&cgroup);
        found.push(running.id());
        found.retain(|process| signalled.insert(*process));
        if found.is_empty() {
            return;
        }
        for process in found {
            // The process may be gone by now.
            let _ = kill(Pid::from_raw(process), signal);
        }
    }
}

/// Returns the path of a pod's cgroup, whether it exists or not. `process` is the pod's process, which is in the cgroup
/// above.
///
/// # Panics
/// Panics if cgroups can't be found.
pub fn cgroup(process: i32, pod: &str) -> PathBuf {
    let cgroups = fs::read_to_string(format!("/proc/{process}/cgroup")).expect("the pod's process is there");
    let above = cgroups.lines().find_map(|line| line.strip_prefix("0::/")).expect("it is in a cgroup");
    let mounts = fs::read_to_string("/proc/self/mounts").expect("the mount table can be read");
    let hierarchy = mounts.lines().find_map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        (words[2] == "cgroup2").then(|| words[1].to_owned())
    });
    Path::new(&hierarchy.expect("cgroup v2 is mounted")).join(above).join(format!("gantry-{pod}"))
}

/// Returns the processes in a cgroup and in those below it.
pub fn processes(cgroup: &Path) -> Vec<i32> {
    let own = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<_> = own.lines().filter_map(|line| line.parse().ok()).collect();
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(processes(&entry.path()));
        }
    }
    found
}
