// SPDX-License-Identifier: Apache-2.0
//! Many pods at once: started, killed, stopped, read and removed in any order, and nothing is shared, lost or left.
//!
//! A program of its own, since these pods take most of a user's inotify instances, and since it adopts what they leave
//! ([`testing::alone`]). Each test is short here and long with `GANTRY_TEST_LONG=1` ([`testing::chance`]).
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

mod at_once;
mod churn;
mod crowd;
mod flood;
mod hundreds;
mod lives;
mod ranges;

use std::fs::{self, File};
use std::path::Path;
use std::process::Output;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use testing::pods::{Gantry, text};

/// How long a pod's end may take, on a machine that does many other things.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many inotify instances a starting pod takes at most.
const INSTANCES: usize = 3;

/// Returns how many pods may run at once here, `wanted` at most: each takes some of the user's inotify instances.
fn at_once(wanted: usize) -> usize {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    wanted.min(limit / INSTANCES)
}

fn id(pod: &Path) -> String {
    pod.file_name().unwrap().to_string_lossy().into_owned()
}

/// Runs a command to its end.
fn output(gantry: &Gantry, words: &[&str]) -> Output {
    gantry.installer().args(words).output().unwrap()
}

/// Runs a command that must succeed, and returns what it prints.
fn said(gantry: &Gantry, words: &[&str]) -> String {
    let output = output(gantry, words);
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Waits until nothing is left of a pod, or fails.
fn wait_gone(pod: &Path) {
    let directory = File::open(pod).unwrap();
    let begun = Instant::now();
    while flock(&directory, FlockOperation::NonBlockingLockShared).is_err() {
        assert!(begun.elapsed() < PATIENCE, "{} stays locked", pod.display());
        sleep(Duration::from_millis(2));
    }
}

/// Ends the pods of a test that fails, which nobody else would end.
struct Ending<'a>(&'a Gantry);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let pods = output(self.0, &["list", "-q"]);
        let pods = text(&pods.stdout);
        let words: Vec<_> = ["stop", "--force"].into_iter().chain(pods.lines()).collect();
        if thread::panicking() && words.len() > 2 {
            output(self.0, &words);
        }
    }
}

/// Removes all pods and all images, after a check that these are whole.
fn clear(gantry: &Gantry) {
    said(gantry, &["verify"]);
    // A pod that was killed before its start was written down is a prepared one, which no collection removes.
    for pod in said(gantry, &["list", "-q", "--state", "prepared"]).lines() {
        said(gantry, &["rm", pod]);
    }
    said(gantry, &["gc", "--grace", "0"]);
    assert!(gantry.pods().is_empty(), "{:?}", gantry.pods());
    for part in ["staging", "store/tree-v1"] {
        let left: Vec<_> = fs::read_dir(gantry.dir().join(part)).unwrap().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
