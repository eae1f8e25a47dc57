// SPDX-License-Identifier: Apache-2.0
//! Stopping, killing and waiting for pods.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use gate::root_test;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use testing::broadcast::{cgroup, processes};
use testing::image::{script, with_handler};
use testing::pods::{Gantry, status as app_status};
use testing::rootfs::Rootfs;

use super::{STUBBORN, WAITS, id, output, prepare, reaper, refused, said, status, text, wait_until};

#[root_test]
fn stop_is_in_order_and_twice_is_no_error() {
    let gantry = Gantry::new();
    let pod = prepare(&gantry, &with_handler(script("lives", WAITS), "post-stop", "echo post"));
    assert_eq!(said(&gantry, &["stop", &id(&pod)]), "", "a prepared pod is left as it is");
    assert_eq!(status(&gantry, &pod)["state"], "prepared");
    let mut running = gantry.start(&pod);
    running.wait_for("up");
    said(&gantry, &["stop", &id(&pod)]);
    // Nothing of it is left when the command returns.
    assert_eq!(status(&gantry, &pod)["state"], "exited");
    let (code, output) = running.wait();
    assert_eq!((code, text(&output.stdout).as_str()), (0, "stops\npost\n"));
    assert_eq!(app_status(&pod, "lives"), 0);
    said(&gantry, &["stop", &id(&pod), "--force"]);
    assert_eq!(status(&gantry, &pod)["code"], 0);
}

/// As ^Z does, and SIGSTOP.
#[root_test]
fn a_pod_whose_process_was_stopped_is_stopped_in_order() {
    let gantry = Gantry::new();
    let pod = prepare(&gantry, &script("lives", WAITS));
    let mut running = gantry.start(&pod);
    running.wait_for("up");
    running.signal(Signal::SIGSTOP);
    said(&gantry, &["stop", "--timeout", "20", &id(&pod)]);
    let (code, output) = running.wait();
    assert_eq!((code, text(&output.stdout).as_str()), (0, "stops\n"));
}

/// Nobody could continue its process, as a shell does, so the kernel doesn't stop that by SIGTSTP.
#[root_test]
fn a_pod_in_the_background_is_frozen_until_it_goes_on() {
    let gantry = Gantry::new();
    let image = gantry.image("lives", &Rootfs::busybox().unwrap(), &script("lives", WAITS));
    let frozen = |pod: &str| {
        let found = status(&gantry, &gantry.dir().join("containers").join(pod));
        let process = found["process"].as_i64().unwrap().try_into().unwrap();
        fs::read_to_string(cgroup(process, pod).join("cgroup.freeze")).unwrap() == "1\n"
    };
    let freeze = |pod: &str| {
        said(&gantry, &["kill", pod, "-s", "TSTP"]);
        wait_until("it is frozen", || frozen(pod));
    };
    let pod = said(&gantry, &["run", "-d", image.to_str().unwrap()]).trim_end().to_owned();
    wait_until("it is up", || said(&gantry, &["logs", &pod]) == "up\n");
    freeze(&pod);
    // A frozen pod is looked at each second.
    let over = output(&gantry, &["status", "--wait=1500ms", &pod]);
    assert!(over.status.code() == Some(1) && frozen(&pod), "{over:?}");
    said(&gantry, &["kill", &pod, "-s", "CONT"]);
    wait_until("it goes on", || !frozen(&pod));
    freeze(&pod);
    said(&gantry, &["stop", &pod]);
    assert_eq!(said(&gantry, &["logs", &pod]), "up\nstops\n");
}

/// With `--rm`, the code would be gone with the pod.
#[root_test]
fn the_code_of_a_pod_that_is_removed_at_its_end_is_waited_for() {
    let gantry = Gantry::new();
    let app = "trap 'exit 3' TERM; echo up; while :; do sleep 60 & wait; done";
    let image = gantry.image("lives", &Rootfs::busybox().unwrap(), &script("lives", app));
    let pod = said(&gantry, &["run", "-d", "--rm", image.to_str().unwrap()]).trim_end().to_owned();
    wait_until("it is up", || said(&gantry, &["logs", &pod]) == "up\n");
    let send = |to: &Child, signal| kill(Pid::from_raw(to.id().try_into().unwrap()), signal).unwrap();
    let waiting = |words: &[&str]| {
        let mut command = gantry.installer();
        let waits =
            command.args(words).arg(&pod).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It has looked at the pod, and waits.
        let waits_for = || {
            let all = fs::read_dir(format!("/proc/{}/fd", waits.id())).unwrap();
            all.flatten()
                .any(|one| fs::read_link(one.path()).is_ok_and(|to| to.ends_with("anon_inode:[pidfd]")))
        };
        wait_until("it waits", waits_for);
        send(&waits, Signal::SIGSTOP);
        waits
    };
    let waits = [waiting(&["wait"]), waiting(&["status", "--wait"])];
    said(&gantry, &["stop", &pod]);
    wait_until("it is removed", || fs::read_dir(gantry.dir().join("containers")).unwrap().next().is_none());
    wait_until("all of it", || fs::read_dir(gantry.dir().join("staging")).unwrap().next().is_none());
    let [code, shown] = waits.map(|wait| {
        send(&wait, Signal::SIGCONT);
        wait.wait_with_output().unwrap()
    });
    assert_eq!((text(&code.stdout), text(&code.stderr)), ("3\n".into(), String::new()));
    assert_eq!(text(&shown.stderr), format!("error: pod {pod} was removed meanwhile\n"));
    assert_eq!(
        (shown.status.code(), text(&shown.stdout)),
        (Some(1), String::new()),
        "nothing that isn't true"
    );
}

#[root_test]
fn after_the_timeout_a_pod_is_stopped_by_force() {
    for (words, without_reaper) in
        [(&["--timeout", "500ms"][..], false), (&["--force"], false), (&["--force"], true)]
    {
        let gantry = Gantry::new();
        let mut manifest = script("lives", STUBBORN);
        manifest["annotations"] = json!([{"name": "gantry/stop-timeout", "value": "1000"}]);
        let pod = prepare(&gantry, &manifest);
        let mut running = gantry.start(&pod);
        running.wait_for("up");
        if without_reaper {
            kill(Pid::from_raw(reaper(&running, &pod)), Signal::SIGKILL).unwrap();
        }
        let cgroup = cgroup(running.id(), &running.pod_id());
        assert!(!processes(&cgroup).is_empty());
        said(&gantry, &[&["stop", &id(&pod)], words].concat());
        assert_eq!(running.wait().0, 137, "{words:?}");
        assert_eq!(status(&gantry, &pod)["state"], "exited", "{words:?}");
        // They are killed by now, and end at once.
        let killed = Instant::now();
        while !processes(&cgroup).is_empty() {
            assert!(killed.elapsed() < Duration::from_secs(10), "{words:?}: processes are left");
            std::thread::yield_now();
        }
    }
}

#[root_test]
fn wait_prints_codes_and_status_waits_for_a_time() {
    let gantry = Gantry::new();
    let pod =
        prepare(&gantry, &script("lives", "trap 'exit 3' TERM; echo up; while :; do sleep 60 & wait; done"));
    refused(&gantry, &["wait", &id(&pod)], &[&id(&pod), "never started"]);
    let mut running = gantry.start(&pod);
    running.wait_for("up");
    let over = output(&gantry, &["status", &id(&pod), "--wait=100ms"]);
    assert_eq!(over.status.code(), Some(1));
    assert!(
        text(&over.stdout).contains("running") && text(&over.stderr).contains("has not ended"),
        "{over:?}"
    );
    let waiting = |words: &[&str]| {
        let mut command = gantry.installer();
        command.args(words).arg(id(&pod)).stdout(Stdio::piped()).spawn().unwrap()
    };
    let waits = [waiting(&["wait"]), waiting(&["status", "--wait"])];
    running.signal(Signal::SIGTERM);
    let [code, shown] = waits.map(|wait| text(&wait.wait_with_output().unwrap().stdout));
    assert_eq!(code, "3\n");
    assert!(shown.contains("exited") && shown.contains("ended with 3"), "{shown}");
    assert_eq!(running.wait().0, 3);
    assert_eq!(said(&gantry, &["wait", &id(&pod), &id(&pod)]), "3\n3\n");
}

#[root_test]
fn a_signal_goes_to_the_pod_or_to_an_apps_first_process() {
    let gantry = Gantry::new();
    let traps = "trap 'echo usr1' USR1; trap 'echo hup' HUP; (sleep 1000 &); echo up; while :; do sleep 60 & wait; done";
    let pod = prepare(&gantry, &script("lives", traps));
    let name = id(&pod);
    refused(&gantry, &["kill", &name, "-s", "HUP"], &["is prepared"]);
    let mut running = gantry.start(&pod);
    running.wait_for("up");
    said(&gantry, &["kill", &name, "-s", "USR1", "--app", "lives"]);
    running.wait_for("usr1");
    said(&gantry, &["kill", "--signal", "1", &name, "--app", "lives"]);
    running.wait_for("hup");
    refused(&gantry, &["kill", &name, "-s", "USR1"], &["--app"]);
    refused(&gantry, &["kill", &name, "-s", "HUP", "--app", "other"], &["no app \"other\"", "lives"]);
    assert_eq!(status(&gantry, &pod)["state"], "running");
    said(&gantry, &["kill", &name]);
    assert_eq!(running.wait().0, 137);
    refused(&gantry, &["kill", &name, "-s", "HUP", "--app", "lives"], &["is exited"]);
}
