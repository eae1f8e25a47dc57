// SPDX-License-Identifier: Apache-2.0
//! Apps that are started again many times.

use gate::root_test;
use serde_json::{Value, json};
use testing::image::{manifest, with_handler};
use testing::pods::{Gantry, status, text};
use testing::rootfs::Rootfs;

/// systemd's own limit is five starts in ten seconds.
const RUNS: usize = 8;

/// Returns a manifest of an app that is root, so that it can leave files for its next run, and for the other app in
/// /meet.
fn root(name: &str, script: &str) -> Value {
    let mut image = manifest(name, &["/bin/sh", "-c", script]);
    image["app"]["mountPoints"] = json!([{"name": "meet", "path": "/meet"}]);
    image
}

#[root_test]
fn nothing_limits_how_often_an_app_and_its_handlers_start() {
    let gantry = Gantry::new();
    let count = format!(
        "echo >> /runs; n=$(wc -l < /runs); echo run $n; [ $n -ge {RUNS} ] || exit 3; echo > /meet/ended"
    );
    let again = with_handler(root("again", &count), "pre-start", "echo before");
    let mut again = with_handler(again, "post-stop", "echo after");
    again["annotations"] = json!([{"name": "gantry/restart", "value": "on-failure"}]);
    let neighbour = root("neighbour", "while ! [ -e /meet/ended ]; do sleep 0.1; done");
    let neighbour = with_handler(neighbour, "post-stop", "echo neighbour");
    let busybox = Rootfs::busybox().unwrap();
    let images = [gantry.image("again", &busybox, &again), gantry.image("neighbour", &busybox, &neighbour)];
    let images = images.each_ref().map(|path| path.as_path());
    let pod = gantry.prepare(&images, &["--volume", "meet,kind=empty"]);
    let (code, output) = gantry.start(&pod).wait();

    let said = text(&output.stdout);
    let (neighbours, own): (Vec<_>, Vec<_>) = said.lines().partition(|line| *line == "neighbour");
    let expected: Vec<_> =
        (1..=RUNS).flat_map(|run| ["before".to_owned(), format!("run {run}"), "after".to_owned()]).collect();
    assert_eq!((own, neighbours.len()), (expected.iter().map(String::as_str).collect(), 1));
    assert_eq!((code, status(&pod, "again"), status(&pod, "neighbour")), (0, 0, 0));
    assert_eq!(text(&output.stderr), "");
}
