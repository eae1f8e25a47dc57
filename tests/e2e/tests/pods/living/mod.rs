// SPDX-License-Identifier: Apache-2.0
//! Living with pods: the commands that list, look at, stop and remove them tell the truth at every moment, and do what
//! they say.

mod detached;
mod ends;
mod entered;
mod killed;
mod logs;
mod names;
mod one_file;
mod options;
mod removal;
mod states;
mod top;
mod tour;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;
use testing::pods::{Gantry, Running};
use testing::rootfs::Rootfs;

/// A script that says that it is up, and ends well when it is asked to.
const WAITS: &str = "trap 'echo stops; exit 0' TERM; echo up; while :; do sleep 60 & wait; done";
/// A script that SIGTERM does not end.
const STUBBORN: &str = "trap '' TERM; echo up; while :; do sleep 60; done";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn prepare(gantry: &Gantry, manifest: &Value) -> PathBuf {
    let image = gantry.image("lives", &Rootfs::busybox().unwrap(), manifest);
    gantry.prepare(&[&image], &[])
}

fn id(pod: &Path) -> String {
    pod.file_name().unwrap().to_string_lossy().into_owned()
}

/// Runs a command to its end.
fn output(gantry: &Gantry, words: &[&str]) -> Output {
    gantry.installer().args(words).output().unwrap()
}

/// Runs a command that must succeed, and returns what it prints.
pub(crate) fn said(gantry: &Gantry, words: &[&str]) -> String {
    let output = output(gantry, words);
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "", "{words:?}");
    text(&output.stdout)
}

/// Waits until something is so, or fails.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::yield_now();
    }
}

/// Runs a command that must fail with code 1 and a line with all of `parts`.
fn refused(gantry: &Gantry, words: &[&str], parts: &[&str]) {
    let output = output(gantry, words);
    let error = text(&output.stderr);
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{words:?}: {error}");
    assert!(error.starts_with("error: "), "{words:?}: {error}");
    for part in parts {
        assert!(error.contains(part), "{words:?}: {error:?} should say {part:?}");
    }
}

/// Returns what `status` says about a pod, and checks that `list` says the same.
fn status(gantry: &Gantry, pod: &Path) -> Value {
    let object: Value =
        serde_json::from_str(&said(gantry, &["status", "--format", "json", &id(pod)])).unwrap();
    let listed: Value = serde_json::from_str(&said(gantry, &["list", "--format", "json"])).unwrap();
    let same = listed.as_array().unwrap().iter().find(|listed| listed["id"] == object["id"]);
    assert_eq!(same, Some(&object), "both say the same");
    object
}

/// Returns the nspawn of a pod's process.
fn nspawn(process: i32) -> i32 {
    let nspawn = testing::pods::nspawn(process.cast_unsigned());
    nspawn.expect("the pod's process has started nspawn").cast_signed()
}

/// Returns the reaper of a running pod: it is the process of that name that has the pod directory open.
fn reaper(running: &Running, pod: &Path) -> i32 {
    let is_reaper = |process: &i32| {
        fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|name| name == "gantry-reaper\n")
            && fs::read_dir(format!("/proc/{process}/fd"))
                .into_iter()
                .flatten()
                .flatten()
                .any(|fd| fs::read_link(fd.path()).is_ok_and(|link| link == pod))
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter(|process| *process != running.id()).find(is_reaper).expect("a pod has a reaper")
}
