// SPDX-License-Identifier: Apache-2.0
//! Signals to every process of a pod, as a supervisor sends them that knows no more than a cgroup.

use std::collections::BTreeSet;
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::pods::Running;

/// Signals the pod's process and all in the pod's cgroup, until there is none that was not signalled, as systemd does
/// (systemd.kill(5), `control-group`).
///
/// # Panics
/// Where processes can't be listed.
pub fn to_all(running: &Running, signal: Signal) {
    let cgroup = format!("/gantry-{}", running.pod_id());
    let mut signalled = BTreeSet::new();
    loop {
        let mut found = in_cgroup(&cgroup);
        found.push(running.id());
        found.retain(|process| signalled.insert(*process));
        if found.is_empty() {
            return;
        }
        for process in found {
            // It may be gone by now.
            let _ = kill(Pid::from_raw(process), signal);
        }
    }
}

/// The processes in the cgroup that has this in its path, or in one below. Those that have ended are in none.
///
/// # Panics
/// Where processes can't be listed.
pub fn in_cgroup(part: &str) -> Vec<i32> {
    let processes = fs::read_dir("/proc").expect("processes can be listed").flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id: &i32| {
        let unified = fs::read_to_string(format!("/proc/{id}/cgroup")).unwrap_or_default();
        unified
            .lines()
            .any(|line| line.starts_with("0::") && line.contains(part) && !line.ends_with(" (deleted)"))
    })
    .collect()
}
