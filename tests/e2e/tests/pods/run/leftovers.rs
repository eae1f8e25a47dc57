// SPDX-License-Identifier: Apache-2.0
//! Processes that a successful program leaves behind are ended with it, even if they ignore SIGTERM, and don't make it
//! a failure.

use std::path::Path;

use gate::root_test;
use serde_json::{Value, json};
use testing::image::{manifest, with_handler};
use testing::pods::{Gantry, status, text};
use testing::rootfs::Rootfs;

/// The beginning of a script: starts a child that SIGTERM does not end.
const CHILD: &str = "rm -f /child; (trap '' TERM; echo > /child; while :; do sleep 60; done) & \
                     while ! [ -e /child ]; do sleep 0.05; done; ";

/// Returns a manifest of an app that is root, and has one second to stop.
fn root(name: &str, script: &str) -> Value {
    let mut image = manifest(name, &["/bin/sh", "-c", script]);
    image["app"]["mountPoints"] = json!([{"name": "meet", "path": "/meet"}]);
    image["annotations"] = json!([{"name": "gantry/stop-timeout", "value": "1"}]);
    image
}

fn run(gantry: &Gantry, images: &[&Value]) -> (i32, String, String) {
    let busybox = Rootfs::busybox().unwrap();
    let images = images.iter().zip(0..);
    let images: Vec<_> =
        images.map(|(image, number)| gantry.image(&number.to_string(), &busybox, image)).collect();
    let images: Vec<_> = images.iter().map(AsRef::<Path>::as_ref).collect();
    let pod = gantry.prepare(&images, &["--volume", "meet,kind=empty"]);
    let (code, output) = gantry.start(&pod).wait();
    (code, text(&output.stdout), text(&output.stderr))
}

#[root_test]
fn an_app_that_ends_well_but_leaves_a_child_leaves_the_others() {
    let gantry = Gantry::new();
    // The post-stop handler runs after the child's end. The other app goes on for as long as a failure would take.
    let left = with_handler(root("left", &format!("{CHILD}exit 0")), "post-stop", "echo > /meet/over");
    let slow = "while ! [ -e /meet/over ]; do sleep 0.1; done; sleep 2; echo ends well";
    let ended = run(&gantry, &[&left, &root("slow", slow)]);
    assert_eq!(ended, (0, "ends well\n".into(), String::new()));
    let pod = gantry.pod();
    assert_eq!((status(&pod, "left"), status(&pod, "slow")), (0, 0));
}

#[root_test]
fn an_app_that_fails_and_leaves_a_child_ends_the_pod_with_its_code() {
    let gantry = Gantry::new();
    let left = root("left", &format!("{CHILD}exit 7"));
    let ended = run(&gantry, &[&left, &root("other", "sleep 1000")]);
    assert_eq!(ended, (7, String::new(), String::new()));
    let pod = gantry.pod();
    assert_eq!((status(&pod, "left"), status(&pod, "other")), (7, 143));
}

#[root_test]
fn a_pre_start_that_ends_well_but_leaves_a_child_lets_its_app_start() {
    for (pre_start, ended) in [("exit 0", (0, "runs\n")), ("exit 5", (5, ""))] {
        let gantry = Gantry::new();
        let image = with_handler(root("app", "echo runs"), "pre-start", &format!("{CHILD}{pre_start}"));
        assert_eq!(run(&gantry, &[&image]), (ended.0, ended.1.into(), String::new()), "{pre_start}");
        assert_eq!(i32::from(status(&gantry.pod(), "app")), ended.0, "{pre_start}");
    }
}

#[root_test]
fn an_app_that_ends_well_but_leaves_a_child_is_not_started_again() {
    let gantry = Gantry::new();
    let script = format!("echo >> /runs; n=$(wc -l < /runs); echo run $n; {CHILD}[ $n = 2 ] || exit 3");
    let mut image = root("again", &script);
    image["annotations"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "gantry/restart", "value": "on-failure"}));
    assert_eq!(run(&gantry, &[&image]), (0, "run 1\nrun 2\n".into(), String::new()));
    assert_eq!(status(&gantry.pod(), "again"), 0);
}

#[root_test]
fn a_pre_start_that_fails_after_one_that_did_not_ends_the_pod() {
    let gantry = Gantry::new();
    let image = root("again", "echo > /ran; echo runs; exit 3");
    let mut image = with_handler(image, "pre-start", "! [ -e /ran ] || exit 5");
    image["annotations"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "gantry/restart", "value": "on-failure"}));
    assert_eq!(run(&gantry, &[&image]), (5, "runs\n".into(), String::new()));
    assert_eq!(status(&gantry.pod(), "again"), 5);
}
