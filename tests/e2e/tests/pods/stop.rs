// SPDX-License-Identifier: Apache-2.0
//! Pods that are asked to stop: at any moment, they stop in order and with one code.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use gate::root_test;
use nix::sys::signal::Signal::{self, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::{Value, json};
use testing::broadcast::{cgroup, processes, to_all};
use testing::image::{script, with_handler};
use testing::pods::{Gantry, Running, status, text};
use testing::rootfs::Rootfs;

const REQUESTS: [Signal; 4] = [SIGTERM, SIGINT, SIGQUIT, SIGHUP];

fn prepare(gantry: &Gantry, manifest: &Value) -> PathBuf {
    let image = gantry.image("stopped", &Rootfs::busybox().unwrap(), manifest);
    gantry.prepare(&[&image], &[])
}

fn has_nspawn(running: &Running) -> bool {
    processes(&cgroup(running.id(), &running.pod_id())).into_iter().any(|process| {
        fs::read_to_string(format!("/proc/{process}/cmdline"))
            .is_ok_and(|words| words.contains("systemd-nspawn"))
    })
}

/// The moments are what is tested: before nspawn, before systemd, before the app, and while it runs.
#[root_test]
fn a_request_at_any_moment_stops_the_pod_in_order() {
    let gantry = Gantry::new();
    let image = with_handler(script("stopped", "echo up; sleep 1000"), "post-stop", "echo post");
    let pod = prepare(&gantry, &image);
    let mut before_the_app = 0;
    for (moment, signal) in (0..=300).step_by(10).zip(REQUESTS.into_iter().cycle()) {
        let running = gantry.start(&pod);
        running.wait_until_it_holds(signal);
        sleep(Duration::from_millis(moment));
        running.signal(signal);
        let (code, output) = running.wait();
        let said = text(&output.stdout);
        assert_eq!((code, status(&pod, "stopped")), (0, 143), "{signal} after {moment} ms: {said:?}");
        // An app that was asked between its start and its first line prints nothing, but its handlers run.
        assert!(
            ["", "post\n", "up\npost\n"].contains(&said.as_str()),
            "{signal} after {moment} ms: {said:?}"
        );
        assert_eq!(text(&output.stderr), "", "{signal} after {moment} ms");
        before_the_app += u32::from(said.is_empty());
    }
    assert_ne!(before_the_app, 0, "the first come before anything runs");
}

#[root_test]
fn to_ask_again_changes_nothing() {
    let gantry = Gantry::new();
    let slow = "trap 'echo stopping; sleep 1; echo stopped; exit 0' TERM; echo up; while :; do sleep 60 & wait; done";
    let pod = prepare(&gantry, &with_handler(script("stopped", slow), "post-stop", "echo post"));
    let mut running = gantry.start(&pod);
    running.wait_for("up");
    running.signal(SIGTERM);
    running.wait_for("stopping");
    REQUESTS.into_iter().chain(REQUESTS).for_each(|signal| running.signal(signal));
    let (code, output) = running.wait();
    assert_eq!((code, text(&output.stdout).as_str()), (0, "stopped\npost\n"));
    assert_eq!(status(&pod, "stopped"), 0);
}

/// A supervisor may signal every process of the pod that it knows, including nspawn, systemd and the apps.
#[root_test]
fn a_signal_to_every_process_of_the_pod_stops_it_in_order() {
    let gantry = Gantry::new();
    let image = with_handler(script("stopped", "echo up; sleep 1000"), "pre-start", "echo pre");
    let pod = prepare(&gantry, &with_handler(image, "post-stop", "echo post"));
    for times in [1, 2].repeat(25) {
        let mut running = gantry.start(&pod);
        assert_eq!(running.read_until("up"), "pre\n");
        to_all(&running, SIGTERM);
        if times == 2 {
            while has_nspawn(&running) {
                std::thread::yield_now();
            }
            to_all(&running, SIGTERM);
        }
        let (code, output) = running.wait();
        let said = text(&output.stdout);
        assert_eq!((code, status(&pod, "stopped"), &*said), (0, 143, "post\n"), "{times}: {output:?}");
    }
}

/// A supervisor may continue each process that it has asked to end, as systemd does (systemd.kill(5)).
#[root_test]
fn who_continues_all_processes_while_the_pod_is_stopped_changes_nothing() {
    let gantry = Gantry::new();
    let pod =
        prepare(&gantry, &with_handler(script("stopped", "echo up; sleep 1000"), "post-stop", "echo post"));
    for _ in 0..10 {
        let mut running = gantry.start(&pod);
        running.wait_for("up");
        let cgroup = cgroup(running.id(), &running.pod_id());
        running.signal(SIGTERM);
        let begun = Instant::now();
        while !processes(&cgroup).is_empty() {
            for process in processes(&cgroup) {
                // The process may be gone by now.
                let _ = kill(Pid::from_raw(process), SIGCONT);
            }
            if begun.elapsed() > Duration::from_secs(20) {
                running.signal(SIGKILL);
            }
        }
        let (code, output) = running.wait();
        assert_eq!((code, status(&pod, "stopped"), &*text(&output.stdout)), (0, 143, "post\n"), "{output:?}");
    }
}

/// The moments are what is tested: until the app's start, several helpers run, and are signalled, too.
#[root_test]
fn a_signal_to_every_process_at_any_moment_is_a_request_to_stop() {
    let gantry = Gantry::new();
    let image = with_handler(script("stopped", "echo up; sleep 1000"), "pre-start", "echo pre");
    let pod = prepare(&gantry, &with_handler(image, "post-stop", "echo post"));
    for moment in (0..=300).step_by(5) {
        let running = gantry.start(&pod);
        running.wait_until_it_holds(SIGTERM);
        sleep(Duration::from_millis(moment));
        to_all(&running, SIGTERM);
        let (code, output) = running.wait();
        let said = text(&output.stdout);
        assert_eq!(code, 0, "after {moment} ms: {output:?}");
        assert_eq!(status(&pod, "stopped"), 143, "after {moment} ms: {output:?}");
        // Post-stop handlers run for what has begun.
        assert!(said.ends_with("post\n") || !said.contains("pre"), "after {moment} ms: {said:?}");
    }
}

#[root_test]
fn what_a_pre_start_began_is_cleaned_up() {
    for (pre_start, code, ended) in [
        ("echo pre; sleep 1000 & wait", 0, 143),
        ("trap 'exit 0' TERM; echo pre; sleep 1000 & wait", 0, 143),
        ("trap 'exit 3' TERM; echo pre; sleep 1000 & wait", 3, 3),
    ] {
        let gantry = Gantry::new();
        let image = with_handler(script("stopped", "echo never"), "pre-start", pre_start);
        let pod = prepare(&gantry, &with_handler(image, "post-stop", "echo post"));
        let mut running = gantry.start(&pod);
        running.wait_for("pre");
        running.signal(SIGTERM);
        let (found, output) = running.wait();
        assert_eq!((found, text(&output.stdout).as_str()), (code, "post\n"), "{pre_start}");
        assert_eq!(status(&pod, "stopped"), ended, "{pre_start}");
    }
}

#[root_test]
fn a_failure_during_anothers_pre_start_is_cleaned_up_after() {
    let gantry = Gantry::new();
    let busybox = Rootfs::busybox().unwrap();
    let meeting = |mut image: Value| {
        image["app"]["mountPoints"] = json!([{"name": "meet", "path": "/meet"}]);
        image
    };
    let early = with_handler(script("early", "echo never"), "pre-start", "echo > /meet/begun; sleep 1000");
    let early = meeting(with_handler(early, "post-stop", "echo after early"));
    let fails = meeting(script("fails", "while ! [ -e /meet/begun ]; do sleep 0.05; done; exit 7"));
    let (early, fails) = (gantry.image("early", &busybox, &early), gantry.image("fails", &busybox, &fails));
    let pod = gantry.prepare(&[&early, &fails], &["--volume", "meet,kind=empty,mode=1777"]);
    let (code, output) = gantry.start(&pod).wait();
    assert_eq!((code, text(&output.stdout).as_str()), (7, "after early\n"), "{}", text(&output.stderr));
    assert_eq!((status(&pod, "early"), status(&pod, "fails")), (143, 7));
}

/// As `gantry/stop-mode` has it.
#[root_test]
fn all_of_an_app_is_asked_where_it_says_so() {
    let gantry = Gantry::new();
    let app = "trap 'wait; echo first; exit 0' TERM; \
               (trap 'echo second; exit 0' TERM; echo up; while :; do sleep 60 & wait; done) & \
               while :; do wait; done";
    let mut image = script("stopped", app);
    image["annotations"] = json!([{"name": "gantry/stop-mode", "value": "all"}]);
    let pod = prepare(&gantry, &image);
    let mut running = gantry.start(&pod);
    running.wait_for("up");
    running.signal(SIGTERM);
    let (code, output) = running.wait();
    assert_eq!((code, text(&output.stdout).as_str()), (0, "second\nfirst\n"));
}

/// The pod's root may connect to the socket by which the pod speaks to `/init`, and say nothing, or nothing that means
/// something. A pod's own words are heard all the same.
#[root_test]
fn nobody_holds_it_up_by_silence() {
    let gantry = Gantry::new();
    let pod = prepare(
        &gantry,
        &script("stopped", "trap 'exit 3' TERM; echo up; while :; do sleep 60 & wait; done"),
    );
    let mut running = gantry.start(&pod);
    running.wait_for("up");
    // A process of the pod's root sees the socket there: systemd, for example.
    let is_there = |process: &i32| fs::metadata(format!("/proc/{process}/root/rkt/outcome/ready")).is_ok();
    let mut all = processes(&cgroup(running.id(), &running.pod_id())).into_iter();
    let systemd = all.find(is_there).expect("a process of the pod's root");
    let connect = || UnixStream::connect(format!("/proc/{systemd}/root/rkt/outcome/ready")).unwrap();
    // More than `/init` keeps at a time.
    let silent: Vec<_> = (0..10).map(|_| connect()).collect();
    drop(connect());
    running.signal(SIGTERM);
    let (code, output) = running.wait();
    assert_eq!((code, status(&pod, "stopped"), text(&output.stderr).as_str()), (3, 3, ""));
    drop(silent);
}
