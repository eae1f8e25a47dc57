// SPDX-License-Identifier: Apache-2.0
//! States, times and codes: at every moment of a pod's life, and after anything of it was killed.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use gate::root_test;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use testing::image::script;
use testing::pods::Gantry;
use testing::rootfs::Rootfs;

use super::{STUBBORN, WAITS, id, nspawn, prepare, reaper, said, status, text};

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

#[root_test]
fn each_state_of_a_pods_life_is_told() {
    let gantry = Gantry::new();
    let slow = "trap 'echo stopping; until [ -e /go/now ]; do sleep 0.05; done; exit 7' TERM; echo up; \
                while :; do sleep 60 & wait; done";
    let mut manifest = script("lives", slow);
    manifest["annotations"] = json!([{"name": "gantry/stop-timeout", "value": "1000"}]);
    manifest["app"]["mountPoints"] = json!([{"name": "go", "path": "/go"}]);
    manifest["app"]["user"] = json!("0");
    let image = gantry.image("lives", &Rootfs::busybox().unwrap(), &manifest);
    let go = gantry.beside("go");
    fs::create_dir(&go).unwrap();
    let begun = now();
    let pod = gantry.prepare(&[&image], &["--volume", &format!("go,kind=host,source={}", go.display())]);
    let found = status(&gantry, &pod);
    assert_eq!(
        (&found["state"], &found["process"], &found["runs"]),
        (&json!("prepared"), &Value::Null, &json!([]))
    );
    assert_eq!(found["directory"], json!(pod.to_str().unwrap()));
    assert_eq!(found["apps"][0]["name"], "lives");

    let mut running = gantry.start(&pod);
    running.wait_for("up");
    let found = status(&gantry, &pod);
    assert_eq!((&found["state"], &found["process"]), (&json!("running"), &json!(running.id())));
    let started = found["started"].as_f64().unwrap();
    assert!(begun <= started + 0.001 && started <= now(), "{found}");
    assert_eq!(
        (&found["ended"], &found["code"], &found["apps"][0]["code"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );

    running.signal(Signal::SIGTERM);
    running.wait_for("stopping");
    let found = status(&gantry, &pod);
    assert_eq!((&found["state"], &found["process"]), (&json!("stopping"), &json!(running.id())));
    fs::write(go.join("now"), "").unwrap();
    assert_eq!(running.wait().0, 7);

    let found = status(&gantry, &pod);
    assert_eq!(
        (&found["state"], &found["code"], &found["apps"][0]["code"]),
        (&json!("exited"), &json!(7), &json!(7))
    );
    let ended = found["ended"].as_f64().unwrap();
    assert!(started <= ended && ended <= now(), "{found}");
    assert!(found["apps"][0]["ended"].as_f64().unwrap() <= ended, "{found}");
    assert_eq!(found["process"], Value::Null);
    let table = said(&gantry, &["ps"]);
    let line = table.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!((line[0], line[1], line[2], line.last()), (&id(&pod)[..8], "exited", "7", Some(&"lives")));
}

#[root_test]
fn after_a_kill_the_truth_is_told() {
    let gantry = Gantry::new();
    let pod = prepare(&gantry, &script("lives", STUBBORN));
    let run = |victim: &str| {
        let mut running = gantry.start(&pod);
        running.wait_for("up");
        let killed = match victim {
            "init" => running.id(),
            "nspawn" => nspawn(running.id()),
            _ => reaper(&running, &pod),
        };
        kill(Pid::from_raw(killed), Signal::SIGKILL).unwrap();
        if victim == "reaper" {
            assert_eq!(status(&gantry, &pod)["state"], "running", "it runs without its reaper");
            // Nobody else would clear what a killed process leaves now.
            said(&gantry, &["stop", "--force", &id(&pod)]);
        }
        running.wait();
        let found = status(&gantry, &pod);
        assert_eq!((&found["state"], &found["process"]), (&json!("exited"), &Value::Null), "{victim}");
        assert_eq!((&found["code"], &found["apps"][0]["code"]), (&Value::Null, &Value::Null), "{victim}");
        found["runs"].as_array().unwrap().last().unwrap().clone()
    };
    let last = run("init");
    assert_eq!((&last["killed"], &last["failure"]), (&json!(true), &Value::Null));
    assert!(last["ended"].as_f64().unwrap() >= last["started"].as_f64().unwrap());
    let last = run("nspawn");
    assert_eq!((&last["killed"], &last["failure"]), (&json!(false), &json!(5)));
    assert!(said(&gantry, &["list"]).lines().nth(1).unwrap().contains("failed"));
    let last = run("reaper");
    assert_eq!((&last["killed"], &last["failure"]), (&json!(true), &Value::Null));
    assert_eq!(status(&gantry, &pod)["runs"].as_array().unwrap().len(), 3);
    assert!(said(&gantry, &["list"]).lines().nth(1).unwrap().contains("killed"));
}

/// After a power failure there is a history without an end, and no lock.
#[root_test]
fn a_run_whose_end_nobody_recorded_has_ended_all_the_same() {
    let gantry = Gantry::new();
    let pod = prepare(&gantry, &script("lives", WAITS));
    fs::write(pod.join("history"), "started 1700000000.000\n").unwrap();
    let found = status(&gantry, &pod);
    assert_eq!((&found["state"], &found["started"]), (&json!("exited"), &json!(1_700_000_000.0)));
    assert_eq!((&found["ended"], &found["code"]), (&Value::Null, &Value::Null));
    assert!(said(&gantry, &["list"]).contains("  ?  "));
    let mut running = gantry.start(&pod);
    running.wait_for("up");
    running.signal(Signal::SIGTERM);
    let (code, output) = running.wait();
    assert_eq!((code, text(&output.stdout).as_str()), (0, "stops\n"));
    let runs = status(&gantry, &pod)["runs"].clone();
    assert_eq!((&runs[0]["ended"], &runs[1]["code"]), (&Value::Null, &json!(0)));
}

#[root_test]
fn a_damaged_pod_hides_no_other() {
    let gantry = Gantry::new();
    let manifest = script("lives", WAITS);
    let [whole, damaged] = [prepare(&gantry, &manifest), prepare(&gantry, &manifest)];
    fs::write(damaged.join("container"), "no manifest").unwrap();
    fs::create_dir(gantry.dir().join("containers/stranger")).unwrap();
    let output = super::output(&gantry, &["list", "--format", "json"]);
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(0), 2), "{said}");
    assert!(said.contains("stranger") && said.contains(&id(&damaged)), "{said}");
    let listed: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let problem = |pod| listed.iter().find(|listed| listed["id"] == id(pod)).unwrap()["problem"].clone();
    assert_eq!(problem(&whole), Value::Null);
    assert!(problem(&damaged).as_str().unwrap().contains("manifest"));
}
