// SPDX-License-Identifier: Apache-2.0
//! How pods are started and stopped, once and again, and what `/init` says instead of a start.

use std::fs;
use std::os::unix::fs::symlink;

use gate::root_test;
use nix::sys::signal::Signal;
use serde_json::json;
use testing::host::snapshot;
use testing::image::{script, with_handler};
use testing::pods::{Gantry, status, text};
use testing::rootfs::Rootfs;

use super::SERVE;

#[root_test]
fn sigterm_stops_a_pod_in_order_and_it_starts_again() {
    let gantry = Gantry::new();
    let image = with_handler(script("serve", SERVE), "post-stop", "echo after");
    let image = gantry.image("serve", &Rootfs::busybox().unwrap(), &image);
    let pod = gantry.prepare(&[&image], &[]);
    for start in ["first", "second"] {
        let mut running = gantry.start(&pod);
        running.wait_for("serving");
        running.signal(Signal::SIGTERM);
        let (code, output) = running.wait();
        assert_eq!((code, text(&output.stdout).as_str()), (0, "stopped\nafter\n"), "the {start} start");
        assert_eq!((status(&pod, "serve"), text(&output.stderr).as_str()), (0, ""), "the {start} start");
    }
}

#[root_test]
fn a_running_pod_is_not_started_twice() {
    let gantry = Gantry::new();
    let image = gantry.image("serve", &Rootfs::busybox().unwrap(), &script("serve", SERVE));
    let pod = gantry.prepare(&[&image], &[]);
    let mut running = gantry.start(&pod);
    running.wait_for("serving");
    let second = std::process::Command::new("./stage1/init").current_dir(&pod).output().unwrap();
    assert_eq!(second.status.code(), Some(3));
    let id = pod.file_name().unwrap().to_string_lossy();
    assert_eq!(text(&second.stderr), format!("error: pod {id} is already running\n"));
    let through = gantry.installer().arg("run").arg(&*id).output().unwrap();
    assert_eq!(through.status.code(), Some(254));
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().0, 0);
}

/// The reaper holds the lock a little longer than the pod's process exists.
#[root_test]
fn a_pod_that_has_ended_starts_again_at_once() {
    let gantry = Gantry::new();
    let image = gantry.image("short", &Rootfs::busybox().unwrap(), &script("short", "exit 0"));
    let pod = gantry.prepare(&[&image], &[]);
    for start in 1..=20 {
        let output = std::process::Command::new("./stage1/init").current_dir(&pod).output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "start {start}");
    }
    gantry.wait_all();
}

#[root_test]
fn nothing_is_left_of_a_pod_however_it_ends() {
    let gantry = Gantry::new();
    let image = gantry.image("serve", &Rootfs::busybox().unwrap(), &script("serve", SERVE));
    let pod = gantry.prepare(&[&image], &[]);
    let before = snapshot();
    for (signal, expected) in [(Signal::SIGTERM, 0), (Signal::SIGKILL, 137), (Signal::SIGINT, 0)] {
        let mut running = gantry.start(&pod);
        running.wait_for("serving");
        assert_ne!(snapshot(), before, "the pod's cgroup shows while it runs");
        running.signal(signal);
        assert_eq!(running.wait().0, expected, "{signal}");
        // Pods of other tests come and go; this pod's traces contain its id.
        let id = pod.file_name().unwrap().to_string_lossy();
        let left = format!("{:?}", snapshot());
        assert!(!left.contains(&*id), "{signal}: {left}");
    }
}

#[root_test]
fn init_names_what_it_can_not_load() {
    let gantry = Gantry::new();
    let image = gantry.image("broken", &Rootfs::busybox().unwrap(), &script("broken", "exit 0"));
    let pod = gantry.prepare(&[&image], &["--layout", "copy"]);
    let init = |arguments: &[&str]| {
        std::process::Command::new("./stage1/init").args(arguments).current_dir(&pod).output().unwrap()
    };
    assert_eq!(init(&["debgu"]).status.code(), Some(1));
    fs::rename(pod.join("stage1/usr/bin/systemd-nspawn"), pod.join("nspawn")).unwrap();
    let output = init(&[]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    gantry.wait_all();
    fs::remove_file(pod.join("container")).unwrap();
    symlink("/etc/hostname", pod.join("container")).unwrap();
    let output = init(&["--failure-code=254"]);
    assert_eq!(output.status.code(), Some(254));
    assert!(text(&output.stderr).starts_with("error: "), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr).lines().count(), 1);
}

#[root_test]
fn a_dry_run_shows_the_plan_and_does_nothing() {
    let gantry = Gantry::new();
    let image = gantry.image("plan", &Rootfs::busybox().unwrap(), &script("plan", "echo never \u{1b}[2J"));
    let pod = gantry.prepare(&[&image], &[]);
    let listing = || {
        let output =
            std::process::Command::new("find").arg(&pod).args(["-printf", "%p %T@ %s\\n"]).output().unwrap();
        text(&output.stdout)
    };
    let before = listing();
    let output =
        std::process::Command::new("./stage1/init").arg("--dry-run").current_dir(&pod).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    let plan = text(&output.stdout);
    for part in [
        "== file etc/systemd/system/app-plan.service, 0644 ==",
        "== time zone ==",
        "\"user\": 1000",
        "echo never",
        "systemd-nspawn",
        "apps/plan: store/tree-v1/sha256-",
    ] {
        assert!(plan.contains(part), "{part:?} in {plan}");
    }
    assert!(!plan.chars().any(|c| c.is_control() && c != '\n'), "{plan:?}");
    assert_eq!(listing(), before);
}

/// Often one person prepares and another starts. A run does both, and warns once.
#[root_test]
fn what_is_not_known_is_said_by_prepare_and_by_each_start() {
    let warning = "warning: isolator resource/unheard-of of app odd is not known, and not enforced\n";
    let gantry = Gantry::new();
    let mut image = script("odd", "true");
    image["app"]["isolators"] = json!([{"name": "resource/unheard-of", "value": null}]);
    let image = gantry.image("odd", &Rootfs::busybox().unwrap(), &image);
    let prepared = gantry.with_images("prepare", &[&image], &[]).output().unwrap();
    let said = text(&prepared.stderr);
    assert!(prepared.status.success() && said.matches(warning).count() == 1, "{said}");
    let (code, started) = gantry.start(&gantry.pod()).wait();
    assert_eq!((code, text(&started.stderr).as_str()), (0, warning));
    let ran = gantry.run(&[&image]);
    assert_eq!((ran.status.code(), text(&ran.stderr).as_str()), (Some(0), warning));
}
