// SPDX-License-Identifier: Apache-2.0
//! What the apps of a running pod use. In a virtual machine, where the kernel counts that for an app's cgroup, `vm` looks at it.

use std::fs;

use gate::root_test;
use serde_json::Value;
use testing::image::script;
use testing::pods::Gantry;
use testing::rootfs::Rootfs;

use super::{WAITS, id, prepare, refused, said, wait_until};

#[root_test]
fn processes_of_each_app_are_shown_with_their_time_and_memory() {
    let gantry = Gantry::new();
    let busybox = Rootfs::busybox().unwrap();
    let burns = "trap 'exit 0' TERM; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo up; \
                 sleep 1000 & sleep 1001 & while :; do wait; done";
    let (one, two) = (
        gantry.image("burns", &busybox, &script("burns", burns)),
        gantry.image("waits", &busybox, &script("waits", WAITS)),
    );
    let [one, two] = [&one, &two].map(|image| image.to_str().unwrap());
    let pod =
        said(&gantry, &["run", "-d", "--net", "none", "--name", "busy", "--image", one, "--image", two]);
    wait_until("both are up", || said(&gantry, &["logs", "busy"]).lines().count() == 2);
    wait_until("each program is executed", || {
        let table = said(&gantry, &["top", "busy"]);
        ["sleep 1000", "sleep 1001", "sleep 60"].iter().all(|program| table.contains(program))
    });
    let apps: Value = serde_json::from_str(&said(&gantry, &["top", "--format", "json", "busy"])).unwrap();
    let apps = apps.as_array().unwrap();
    let names: Vec<_> = apps.iter().map(|app| app["app"].as_str().unwrap()).collect();
    assert_eq!(names, ["burns", "waits"]);
    for (app, commands) in apps.iter().zip([&["sleep 1000", "sleep 1001"][..], &["sleep 60"]]) {
        let processes = app["processes"].as_array().unwrap();
        assert_eq!(processes.len(), commands.len() + 1, "{app}");
        for command in commands {
            let found = processes.iter().find(|process| process["command"] == *command).expect(command);
            let on_host = fs::read(format!("/proc/{}/cmdline", found["process"])).unwrap();
            assert_eq!(String::from_utf8_lossy(&on_host).trim_end_matches('\0').replace('\0', " "), *command);
        }
        let sum = |field: &str| processes.iter().map(|process| process[field].as_f64().unwrap()).sum::<f64>();
        assert!(app["memory"].as_f64().unwrap() > 0.0 && sum("memory") > 0.0, "{app}");
        assert!(app["cpu"].as_f64().unwrap() >= sum("cpu") - 0.02, "{app}");
    }
    assert!(apps[0]["cpu"].as_f64().unwrap() > 0.0, "{}", apps[0]);
    let table = said(&gantry, &["top", "busy"]);
    let heading: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heading, ["APP", "PID", "CPU", "MEMORY", "COMMAND"]);
    assert_eq!(table.lines().count(), 1 + 4 + 3, "{table}");
    assert!(table.contains("3 processes") && table.contains("sleep 1001"), "{table}");
    said(&gantry, &["stop", "busy"]);
    refused(&gantry, &["top", pod.trim_end()], &["is exited: expected it to run"]);
    refused(&gantry, &["top", "bsuy"], &["no pod \"bsuy\"", "did you mean busy?"]);
    let other = prepare(&gantry, &script("lives", WAITS));
    refused(&gantry, &["top", &id(&other)], &["is prepared: expected it to run"]);
}
