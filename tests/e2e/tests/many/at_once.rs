// SPDX-License-Identifier: Apache-2.0
//! As many pods as the host's limits allow, all started at once, and all stopped by one command.

use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use gate::root_test;
use serde_json::Value;
use testing::alone::Alone;
use testing::chance::say;
use testing::image::script;
use testing::pods::{Gantry, Running, text};
use testing::rootfs::Rootfs;

use crate::ranges::Watch;
use crate::{Ending, at_once, clear, id, said};

/// How many are wanted. With 200 inotify instances for each user, all of them are possible.
const PODS: usize = 50;
const APP: &str = "trap 'echo stops; exit 0' TERM; echo up; while :; do sleep 60 & wait; done";

fn start_all(gantry: &Gantry, pods: &[PathBuf]) -> Vec<Running> {
    thread::scope(|scope| {
        let start = |pod: &'_ PathBuf| {
            let pod = pod.clone();
            scope.spawn(move || {
                let mut running = gantry.start(&pod);
                running.wait_for("up");
                running
            })
        };
        let all: Vec<_> = pods.iter().map(start).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

#[root_test]
fn pods_that_start_at_once_all_run_and_all_stop() {
    let alone = Alone::new();
    let gantry = Gantry::new();
    let _ending = Ending(&gantry);
    let number = at_once(PODS);
    let image = gantry.image("one", &Rootfs::busybox().unwrap(), &script("one", APP));
    let pods: Vec<_> = (0..number).map(|_| gantry.prepare(&[&image], &[])).collect();
    let mut ids: Vec<_> = pods.iter().map(|pod| id(pod)).collect();
    ids.sort_unstable();

    let begun = Instant::now();
    let running = start_all(&gantry, &pods);
    let started = begun.elapsed();
    let mut listed: Vec<_> =
        said(&gantry, &["list", "-q", "--state", "running"]).lines().map(str::to_owned).collect();
    listed.sort_unstable();
    assert_eq!(listed, ids, "all of them run");
    let seen = Watch::over(&pods).look();
    assert!(seen.pods == number && seen.processes >= 2 * number, "{seen:?}");

    let begun = Instant::now();
    let mut words = vec!["stop"];
    words.extend(ids.iter().map(String::as_str));
    assert_eq!(said(&gantry, &words), "");
    let stopped = begun.elapsed();
    for one in running {
        let (code, output) = one.wait();
        assert_eq!((code, text(&output.stdout).as_str()), (0, "stops\n"), "{}", text(&output.stderr));
    }
    let listed: Vec<Value> = serde_json::from_str(&said(&gantry, &["list", "--format", "json"])).unwrap();
    for pod in &listed {
        assert_eq!((&pod["state"], &pod["code"]), (&"exited".into(), &0.into()), "{pod}");
    }
    assert_eq!(listed.len(), number);
    clear(&gantry);
    alone.assert_nothing_is_left(&ids);
    let [started, stopped] = [started, stopped].map(|time| time.as_secs_f64());
    say(&format!("at once: {number} of {PODS} pods up in {started:.1} s, stopped in {stopped:.1} s"));
}
