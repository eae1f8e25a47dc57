// SPDX-License-Identifier: Apache-2.0
//! As many pods on one host as docs/pods.md says how to have. In the long version, 200 with the sysctls that it names; in the
//! short one, as many as the host's allow. What an idle pod takes of each limit is counted, whatever the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use gate::root_test;
use testing::alone::Alone;
use testing::broadcast::processes;
use testing::chance::{is_long, say};
use testing::image::script;
use testing::pods::{Gantry, Running};
use testing::rootfs::Rootfs;

use crate::{Ending, at_once, clear, id, said};

/// How many there are in the long version, and in the short one at most.
const PODS: (usize, usize) = (200, 12);
/// How many start at a time.
const STARTING: usize = 8;
const APP: &str = "trap 'exit 0' TERM; echo up; while :; do sleep 1000 & wait; done";
/// The only sysctl that a host of this many pods needs with another value than the kernel's, and the value.
const SYSCTL: (&str, usize) = ("/proc/sys/fs/inotify/max_user_instances", 512);

/// A sysctl of the host's that has another value as long as this exists.
struct Raised(String);

impl Raised {
    /// Raises it, if it is less.
    fn new() -> Self {
        let (path, value) = SYSCTL;
        let before = fs::read_to_string(path).unwrap();
        if before.trim().parse::<usize>().unwrap() < value {
            fs::write(path, value.to_string()).unwrap();
        }
        Self(before)
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        fs::write(SYSCTL.0, &self.0).unwrap();
    }
}

/// Starts all pods, a few at a time.
fn start_all(gantry: &Gantry, pods: &[PathBuf]) -> Vec<Running> {
    thread::scope(|scope| {
        let start = |own: Vec<&PathBuf>| {
            let own: Vec<_> = own.into_iter().cloned().collect();
            scope.spawn(move || {
                let start = |pod: &PathBuf| {
                    let mut running = gantry.start(pod);
                    running.wait_for("up");
                    running
                };
                own.iter().map(start).collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> =
            (0..STARTING).map(|from| start(pods.iter().skip(from).step_by(STARTING).collect())).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// What a running pod has of what a host limits.
#[derive(Debug, PartialEq, Eq)]
struct Has {
    processes: usize,
    inotify: usize,
}

/// Looks at the processes in a pod's cgroup, and at its own process and reaper, which have its directory open.
fn has(running: &Running, pod: &Path) -> Has {
    let cgroup = testing::broadcast::cgroup(running.id(), &running.pod_id());
    let is_held = |process: &i32| {
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
        descriptors.flat_map(|entry| fs::read_link(entry.path())).any(|open| open == pod)
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut found = processes(&cgroup);
    found.extend(all.filter(is_held));
    found.sort_unstable();
    found.dedup();
    let inotify = |process: &i32| {
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
        let open = descriptors.flat_map(|entry| fs::read_link(entry.path()));
        open.filter(|open| open.to_string_lossy() == "anon_inode:inotify").count()
    };
    Has { processes: found.len(), inotify: found.iter().map(inotify).sum() }
}

#[root_test]
fn hundreds_of_pods_run_on_one_host_with_one_sysctl_raised() {
    let alone = Alone::new();
    let gantry = Gantry::new();
    let _ending = Ending(&gantry);
    let raised = is_long().then(Raised::new);
    let number = if is_long() { PODS.0 } else { at_once(PODS.1) };
    let image = gantry.image("idle", &Rootfs::busybox().unwrap(), &script("idle", APP));
    let pods: Vec<_> = (0..number).map(|_| gantry.prepare(&[&image], &[])).collect();
    let ids: Vec<_> = pods.iter().map(|pod| id(pod)).collect();

    let begun = Instant::now();
    let running = start_all(&gantry, &pods);
    let started = begun.elapsed();
    let listed = said(&gantry, &["list", "-q", "--state", "running"]);
    assert_eq!(listed.lines().count(), number);
    for one in [&running[0], &running[number - 1]] {
        let pod = pods.iter().find(|pod| id(pod) == one.pod_id()).unwrap();
        // The pod's process, the reaper, nspawn, systemd, the app and its sleep. systemd's two instances are for its cgroups and for
        // the time zone.
        assert_eq!(has(one, pod), Has { processes: 6, inotify: 2 });
    }

    let begun = Instant::now();
    let words: Vec<_> = ["stop"].into_iter().chain(ids.iter().map(String::as_str)).collect();
    assert_eq!(said(&gantry, &words), "");
    for one in running {
        assert_eq!(one.wait().0, 0);
    }
    let stopped = begun.elapsed();
    clear(&gantry);
    alone.assert_nothing_is_left(&ids);
    drop(raised);
    let [started, stopped] = [started, stopped].map(|time| time.as_secs_f64());
    say(&format!(
        "hundreds: {number} pods up in {started:.1} s, {STARTING} at a time, and stopped in {stopped:.1} s"
    ));
}
