// SPDX-License-Identifier: Apache-2.0
//! As many pods as the host's limits allow, each with a published port, all started at once, and all stopped by one
//! command.

use std::io::Read as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use gate::root_test;
use serde_json::Value;
use testing::alone::Alone;
use testing::chance::say;
use testing::image::script;
use testing::pods::{Gantry, Running, text};
use testing::rootfs::Rootfs;

use crate::ranges::Watch;
use crate::{Ending, PATIENCE, at_once, clear, id, said};

/// How many are wanted. With 150 inotify instances for each user, all of them are possible.
const PODS: usize = 50;
const APP: &str = "trap 'echo stops; exit 0' TERM; while :; do hostname | nc -l -p 80; done & echo up; \
                   while :; do sleep 60 & wait; done";
/// The first of their ports.
const PORT: usize = 20000;

/// Asks the pod of this number for its name, until its server listens.
fn ask(number: usize) -> String {
    let begun = Instant::now();
    let ask = || {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{}", PORT + number))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut said = String::new();
        stream.read_to_string(&mut said).map(|_| said)
    };
    loop {
        match ask() {
            Ok(said) if !said.is_empty() => return said,
            other => assert!(begun.elapsed() < PATIENCE, "pod {number}: {other:?}"),
        }
        thread::yield_now();
    }
}

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
    let prepare = |one: usize| {
        let port = format!("{}:80", PORT + one);
        gantry.prepare(&[&image], &["--hostname", &format!("pod-{one}"), "-p", &port])
    };
    let pods: Vec<_> = (0..number).map(prepare).collect();
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
    for one in 0..number {
        assert_eq!(ask(one), format!("pod-{one}\n"), "each port leads to its own pod");
    }

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
    say(&format!(
        "at once: {number} of {PODS} pods up, with a published port each, in {started:.1} s, stopped in {stopped:.1} s"
    ));
}
