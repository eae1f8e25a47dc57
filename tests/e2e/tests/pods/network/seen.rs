// SPDX-License-Identifier: Apache-2.0
//! What people see of a pod's network: its addresses and ports, in `status`, `list`, `inspect` and the plan.

use std::path::Path;
use std::process::Command;

use gate::root_test;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testing::pods::{Gantry, assert_says, text};

use super::start;
use crate::living::said;

const OPTIONS: [&str; 4] = ["-p", "127.0.0.1:8080-8081:80-81", "-p", "5353:53/udp"];
/// Prints the pod's addresses as its kernel has them, and waits.
const SHOWS: &str = "ip -o addr show eth0 scope global | while read _ _ _ address _; do echo ${address%/*}; done; \
                     echo ready; while :; do sleep 60; done";

fn object(gantry: &Gantry, pod: &str) -> Value {
    serde_json::from_str(&said(gantry, &["status", "--format", "json", pod])).unwrap()
}

#[root_test]
fn addresses_and_ports_of_a_pod_are_shown_while_it_runs() {
    let gantry = Gantry::new();
    let (path, mut running) = start(&gantry, SHOWS, &OPTIONS);
    let inside = running.read_until("ready");
    let mut inside: Vec<_> = inside.lines().collect();
    inside.sort_unstable();
    assert_eq!(inside.len(), 2, "one of each protocol: {inside:?}");
    let pod = running.pod_id();
    let found = object(&gantry, &pod);
    assert_eq!((&found["network"], &found["addresses"]), (&json!("private"), &json!(inside)));
    let ports = found["ports"].as_array().unwrap();
    let port =
        |port: &Value| ["address", "host", "pod", "count", "protocol"].map(|field| port[field].clone());
    assert_eq!(
        ports.iter().map(port).collect::<Vec<_>>(),
        [
            [json!("127.0.0.1"), json!(8080), json!(80), json!(2), json!("tcp")],
            [json!(null), json!(5353), json!(53), json!(1), json!("udp")],
        ]
    );
    let inspected: Value = serde_json::from_str(&said(&gantry, &["inspect", &pod])).unwrap();
    assert_eq!(inspected[0]["addresses"], found["addresses"]);
    let listed: Value = serde_json::from_str(&said(&gantry, &["list", "--format", "json"])).unwrap();
    assert_eq!(listed[0]["addresses"], found["addresses"]);
    assert_says(
        &said(&gantry, &["status", &pod]),
        &[
            "network     private\n",
            &format!("address     {}\n", inside[0]),
            "port        127.0.0.1:8080-8081:80-81/tcp\n",
            "port        5353:53/udp\n",
        ],
    );
    running.signal(Signal::SIGTERM);
    running.wait();
    assert_eq!(object(&gantry, &pod)["addresses"], json!([]), "{}", path.display());
}

#[root_test]
fn the_plan_shows_addresses_and_ports() {
    let gantry = Gantry::new();
    let image = gantry.image(
        "app",
        &testing::rootfs::Rootfs::busybox().unwrap(),
        &testing::image::script("app", "true"),
    );
    let pod = gantry.prepare(&[Path::new(&image)], &OPTIONS);
    let plan = Command::new("./stage1/init").arg("--dry-run").current_dir(&pod).output().unwrap();
    assert_says(
        &text(&plan.stdout),
        &["\naddress 10.177.", "\naddress fd67:616e:7472:", "\npublished 127.0.0.1:8080-8081:80-81/tcp\n"],
    );
}
