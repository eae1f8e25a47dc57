// SPDX-License-Identifier: Apache-2.0
//! Many commands at once that start, stop, read, list, remove and collect the same few pods: each does what it says, or is
//! refused in one line, and nothing is lost, neither a pod nor a line of a log.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use gate::root_test;
use serde_json::Value;
use testing::alone::Alone;
use testing::chance::{Extent, extent, say, seed};
use testing::image::manifest;
use testing::pods::{Gantry, text};
use testing::rootfs::Rootfs;

use crate::{Ending, at_once, clear, id, output, said, wait_gone};

const SHORT: Extent = Extent { pods: 12, time: Duration::from_secs(10) };
const LONG: Extent = Extent { pods: 12, time: Duration::from_secs(60) };
const COMMANDS_AT_ONCE: usize = 32;
/// Each run says lines of its own. A line is kept in the app's tree once it was said, so that it must be in the log.
const APP: &str = "say() { echo \"$1 $N\"; echo \"$1 $N\" >> /said; }; touch /said; N=$(wc -l < /said); \
                   trap 'say stops; exit 0' TERM; say begins; while :; do sleep 60 & wait; done";
/// What a command may be refused with: the pod is in another state by then, or gone.
const REFUSALS: [&str; 9] = [
    "no pod",
    "is running",
    "is stopping",
    "is exited",
    "is prepared",
    "is preparing",
    "was never started",
    "was removed meanwhile",
    "does not run",
];

/// What was done so far.
#[derive(Default)]
struct Done {
    /// The pods that were prepared and not seen removed.
    pods: Vec<String>,
    /// How many are being prepared.
    to_come: usize,
    removed: BTreeSet<String>,
    /// How many starts of a pod were said to be done.
    starts: BTreeMap<String, usize>,
    /// How often a command succeeded, and how often it was refused.
    commands: BTreeMap<&'static str, (usize, usize)>,
}

struct Crowd<'a> {
    gantry: &'a Gantry,
    image: &'a str,
    pods: usize,
    until: Instant,
    done: Mutex<Done>,
}

impl Crowd<'_> {
    fn work(&self, seed: u64) {
        let mut rng = Rng::with_seed(seed);
        while Instant::now() < self.until {
            self.step(&mut rng);
        }
    }

    fn step(&self, rng: &mut Rng) {
        let pod = {
            let mut done = self.done.lock().unwrap();
            let is_empty = done.pods.is_empty();
            if done.pods.len() + done.to_come < self.pods && (is_empty || rng.u8(..4) == 0) {
                done.to_come += 1;
                drop(done);
                return self.prepare();
            }
            if is_empty {
                drop(done);
                return thread::yield_now();
            }
            done.pods[rng.usize(..done.pods.len())].clone()
        };
        // Seldom enough for pods to have some lives, and logs.
        let words: &[&'static str] = match rng.u16(..1000) {
            0..300 => &["start"],
            300..500 => &["stop"],
            500..550 => &["stop", "-t", "0"],
            550..560 => &["rm"],
            560..570 => &["rm", "--force"],
            570..720 => &["logs"],
            720..800 => &["status"],
            800..880 => &["list", "--format", "json"],
            880..930 => &["list"],
            930..998 => &["gc", "--grace", "1h"],
            _ => &["gc", "--grace", "0"],
        };
        let is_of_pod = !["list", "gc"].contains(&words[0]);
        let all: Vec<_> = words.iter().copied().chain(is_of_pod.then_some(pod.as_str())).collect();
        let output = output(self.gantry, &all);
        self.note(words[0], &pod, &all, &output);
    }

    fn prepare(&self) {
        let id = name(&said(self.gantry, &["prepare", self.image]));
        let mut done = self.done.lock().unwrap();
        done.to_come -= 1;
        done.pods.push(id);
    }

    /// Checks what a command said, and notes what it did.
    fn note(&self, name: &'static str, pod: &str, words: &[&str], output: &std::process::Output) {
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        let is_done = output.status.success();
        let is_refused = output.status.code() == Some(1)
            && error.lines().filter(|line| line.starts_with("error: ")).count() == 1
            && REFUSALS.iter().any(|refusal| error.contains(refusal));
        assert!(is_done || is_refused && name != "list" && name != "gc", "{words:?}: {output:?}");
        if words.contains(&"json") {
            let listed: Value = serde_json::from_str(&out).unwrap();
            assert!(listed.is_array(), "{out}");
        }
        let mut done = self.done.lock().unwrap();
        let count = done.commands.entry(name).or_default();
        *if is_done { &mut count.0 } else { &mut count.1 } += 1;
        let prefix = if name == "gc" { "removed pod " } else { "removed " };
        let removed: Vec<_> = out.lines().filter_map(|line| line.strip_prefix(prefix)).collect();
        if ["rm", "gc"].contains(&name) {
            done.pods.retain(|pod| !removed.contains(&pod.as_str()));
            done.removed.extend(removed.into_iter().map(str::to_owned));
        }
        if name == "start" && is_done {
            *done.starts.entry(pod.to_owned()).or_default() += 1;
        }
    }
}

/// Returns the id of a pod whose directory was printed.
fn name(printed: &str) -> String {
    id(Path::new(printed.trim_end()))
}

/// Checks that a stopped pod has all runs in its history, and all lines in its log.
fn check_kept(gantry: &Gantry, pod: &str, starts: usize) -> usize {
    let found: Value = serde_json::from_str(&said(gantry, &["status", "--format", "json", pod])).unwrap();
    assert!(["exited", "prepared"].contains(&found["state"].as_str().unwrap()), "{found}");
    let runs = found["runs"].as_array().unwrap().len();
    assert!(runs >= starts, "{starts} starts were done, of which are recorded: {found}");
    let kept = gantry.dir().join("containers").join(pod).join("stage1/rkt/upper/app/changes/said");
    let kept = fs::read_to_string(kept).unwrap_or_default();
    let logged = output(gantry, &["logs", pod]);
    let logged = text(&logged.stdout);
    let mut rest = logged.lines();
    for line in kept.lines() {
        assert!(rest.any(|logged| logged == line), "{pod}: {line:?} of {kept:?} is lost: {logged:?}");
    }
    kept.lines().count()
}

#[root_test]
fn commands_at_once_lose_no_pod_and_no_line() {
    let alone = Alone::new();
    let (extent, seed) = (extent(SHORT, LONG), seed("crowd"));
    let gantry = Gantry::new();
    let _ending = Ending(&gantry);
    let image = gantry.image("app", &Rootfs::busybox().unwrap(), &manifest("app", &["/bin/sh", "-c", APP]));
    let pods = at_once(extent.pods);
    let image = image.to_str().unwrap();
    // Unpacks the image and stage1, which takes more time than all else.
    let first = said(&gantry, &["prepare", image]);
    let until = Instant::now() + extent.time;
    let crowd = Crowd { gantry: &gantry, image, pods, until, done: Mutex::default() };
    crowd.done.lock().unwrap().pods.push(name(&first));
    thread::scope(|scope| {
        let crowd = &crowd;
        for number in 0..COMMANDS_AT_ONCE as u64 {
            scope.spawn(move || crowd.work(seed.wrapping_add(number)));
        }
    });
    let done = crowd.done.into_inner().unwrap();
    let listed: BTreeSet<_> = said(&gantry, &["list", "-q"]).lines().map(str::to_owned).collect();
    let left: BTreeSet<_> = done.pods.iter().cloned().collect();
    assert_eq!(listed, left, "what was not removed is there");
    for pod in &left {
        said(&gantry, &["stop", pod]);
        wait_gone(&gantry.dir().join("containers").join(pod));
    }
    let kept = |pod: &String| check_kept(&gantry, pod, done.starts.get(pod).copied().unwrap_or_default());
    let lines: usize = left.iter().map(kept).sum();
    clear(&gantry);
    let all: Vec<_> = left.iter().chain(&done.removed).cloned().collect();
    alone.assert_nothing_is_left(&all);
    let starts: usize = done.starts.values().sum();
    say(&format!(
        "crowd: {} pods, {starts} starts, {lines} lines of pods that are left, all logged; done and refused: {:?}",
        all.len(),
        done.commands
    ));
    assert!(starts >= 1 && lines >= 1, "{:?}", done.commands);
}
