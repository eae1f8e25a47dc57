// SPDX-License-Identifier: Apache-2.0
//! Pods that are started and killed at random: no two have an id in common at any moment, and nothing is left of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use gate::root_test;
use testing::alone::Alone;
use testing::chance::{Extent, extent, say, seed};
use testing::image::script;
use testing::pods::Gantry;
use testing::rootfs::Rootfs;

use crate::lives::{End, Life, Start};
use crate::ranges::{Seen, Watch};
use crate::{Ending, at_once, clear, id, said, wait_gone};

const SHORT: Extent = Extent { pods: 40, time: Duration::from_secs(8) };
const LONG: Extent = Extent { pods: 200, time: Duration::from_secs(60) };
/// How many pods live at a time.
const LIVING: usize = 16;
const APP: &str = "trap 'exit 0' TERM; while :; do sleep 60 & wait; done";
/// How long to wait between two looks at all processes.
const STEP: Duration = Duration::from_millis(5);

/// Prepares pods, of which every third has two apps.
fn prepare(gantry: &Gantry, pods: usize) -> Vec<PathBuf> {
    let rootfs = Rootfs::busybox().unwrap();
    let [one, two] = ["one", "two"].map(|name| gantry.image(name, &rootfs, &script(name, APP)));
    let prepare = |number| match number % 3 {
        0 => gantry.prepare(&[&one, &two], &[]),
        _ => gantry.prepare(&[&one], &[]),
    };
    (0..pods).map(prepare).collect()
}

/// What the threads of a test have in common.
struct Churn<'a> {
    gantry: &'a Gantry,
    pods: &'a [PathBuf],
    until: Instant,
    seed: u64,
    ended: Mutex<BTreeMap<(Start, End), usize>>,
}

impl Churn<'_> {
    /// Lets every `step`th pod live, from the one at `from` on, again and again until the time is over.
    fn live(&self, from: usize, step: usize) {
        let mut rng = Rng::with_seed(self.seed.wrapping_add(from as u64));
        for round in 0.. {
            for pod in self.pods.iter().skip(from).step_by(step) {
                if round > 0 && Instant::now() > self.until {
                    return;
                }
                let life = Life::draw(&mut rng);
                life.live(self.gantry, pod);
                *self.ended.lock().unwrap().entry((life.start, life.end)).or_default() += 1;
            }
        }
    }

    /// Lets all pods live, so many at a time, and watches their ids. Returns how often it looked, and how many had ids at once.
    fn run(&self, living: usize) -> (usize, usize) {
        let (watch, over) = (Watch::over(self.pods), AtomicBool::new(false));
        thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let (mut looks, mut most) = (0, 0);
                while !over.load(Ordering::Relaxed) {
                    let Seen { pods, .. } = watch.look();
                    (looks, most) = (looks + 1, most.max(pods));
                    thread::sleep(STEP);
                }
                (looks, most)
            });
            let threads: Vec<_> =
                (0..living).map(|from| scope.spawn(move || self.live(from, living))).collect();
            let ended: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
            over.store(true, Ordering::Relaxed);
            let watched = watching.join().unwrap();
            ended.into_iter().for_each(|ended| ended.unwrap());
            watched
        })
    }
}

#[root_test]
fn pods_that_are_killed_at_random_share_no_ids_and_leave_nothing() {
    let alone = Alone::new();
    let (extent, seed) = (extent(SHORT, LONG), seed("churn"));
    let gantry = Gantry::new();
    let _ending = Ending(&gantry);
    let pods = prepare(&gantry, extent.pods);
    let (ids, living): (Vec<_>, _) = (pods.iter().map(|pod| id(pod)).collect(), at_once(LIVING));
    let begun = Instant::now();
    let churn =
        Churn { gantry: &gantry, pods: &pods, until: begun + extent.time, seed, ended: Mutex::default() };
    let (looks, most) = churn.run(living);
    let time = begun.elapsed();
    // What a killed process could not clear is cleared by the next start and the next collection.
    let mut last = gantry.installer();
    assert!(last.args(["start", &ids[0]]).status().unwrap().success());
    said(&gantry, &["stop", &ids[0]]);
    wait_gone(&pods[0]);
    clear(&gantry);
    alone.assert_nothing_is_left(&ids);

    let ended = churn.ended.into_inner().unwrap();
    let lives: usize = ended.values().sum();
    say(&format!(
        "churn: {} pods, {lives} lives in {:.1} s, at most {most} seen at once in {} looks: {ended:?}",
        pods.len(),
        time.as_secs_f64(),
        looks
    ));
    assert!(lives >= extent.pods && most >= 2, "{lives} lives, {most} at once");
}
