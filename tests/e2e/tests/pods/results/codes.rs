// SPDX-License-Identifier: Apache-2.0
//! If no app decides a pod's code, the code is not one of an app's: 254 of a run, 5 of `/init` itself.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use gate::root_test;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testing::image::{manifest, script};
use testing::layers::Layout;
use testing::pods::{Gantry, Running, status, text};
use testing::rootfs::Rootfs;

use super::FAILS_WHEN_STOPPED;
use crate::users;

fn prepare(gantry: &Gantry, script: &str, arguments: &[&str]) -> PathBuf {
    let image = manifest("one", &["/bin/sh", "-c", script]);
    let image = gantry.image("one", &Rootfs::busybox().unwrap(), &image);
    gantry.prepare(&[&image], arguments)
}

/// Returns the id of the pod's nspawn.
fn nspawn(running: &Running) -> Pid {
    let stat = fs::read_to_string(format!("/proc/{}/stat", running.systemd())).unwrap();
    // proc_pid_stat(5): the fourth field is the parent.
    Pid::from_raw(stat.split(' ').nth(3).unwrap().parse().unwrap())
}

#[root_test]
fn nspawn_that_fails_gives_no_code_of_an_apps() {
    let gantry = Gantry::new();
    let pod = prepare(&gantry, "exit 0", &[]);
    // Enough for setpriv and `/init`, and too little for nspawn's libraries.
    let script = "ulimit -v 7000; exec setpriv --bounding-set -sys_resource ./stage1/init";
    let output = Command::new("sh").args(["-c", script]).current_dir(&pod).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(5), 1), "{said}");
    let start = "error: systemd-nspawn exited with 127 before the pod had a code: ";
    assert!(
        said.starts_with(start) && said.ends_with("failed to map segment from shared object\n"),
        "{said}"
    );
    assert!(!pod.join("stage1/rkt/status/one").exists());
    gantry.wait_all();
    // The pod can be started again.
    assert_eq!((gantry.start(&pod).wait().0, status(&pod, "one")), (0, 0));
}

#[root_test]
fn nspawn_that_is_killed_gives_no_code_of_an_apps() {
    let gantry = Gantry::new();
    let pod = prepare(&gantry, FAILS_WHEN_STOPPED, &[]);
    let mut running = gantry.start(&pod);
    running.wait_for("serving");
    kill(nspawn(&running), Signal::SIGKILL).unwrap();
    let (code, output) = running.wait();
    let said = "error: systemd-nspawn was ended by SIGKILL before the pod had a code\n";
    assert_eq!((code, text(&output.stderr).as_str()), (5, said));
}

/// When `/init` continues, it finds at once that nspawn has died and that a stop was requested. Apps have run, so the
/// request is not the reason for their end.
#[root_test]
fn a_request_after_nspawn_has_died_makes_no_success() {
    let gantry = Gantry::new();
    let pod = prepare(&gantry, FAILS_WHEN_STOPPED, &[]);
    let mut running = gantry.start(&pod);
    running.wait_for("serving");
    let nspawn = nspawn(&running);
    running.signal(Signal::SIGSTOP);
    kill(nspawn, Signal::SIGKILL).unwrap();
    // The third field is the state (proc_pid_stat(5)), Z once it has died: its parent is stopped.
    while fs::read_to_string(format!("/proc/{nspawn}/stat")).unwrap().split(' ').nth(2) != Some("Z") {
        std::thread::yield_now();
    }
    running.signal(Signal::SIGTERM);
    running.signal(Signal::SIGCONT);
    let (code, output) = running.wait();
    let said = "error: systemd-nspawn was ended by SIGKILL before the pod had a code\n";
    assert_eq!((code, text(&output.stderr).as_str()), (5, said));
    assert!(!pod.join("stage1/rkt/status/one").exists());
}

/// systemd(1), "Signals": these end it at once, with 0.
#[root_test]
fn an_app_that_ends_systemd_at_once_makes_no_success() {
    for signal in [47, 48] {
        let gantry = Gantry::new();
        // An app with users of its own can't signal it.
        let app = users::app("0", &format!("kill -{signal} 1; sleep 1000"));
        let pod = users::annotated(&gantry, "shared", &app, &Rootfs::busybox().unwrap(), Layout::Overlay);
        let output = gantry.installer().arg("run").arg(&pod).output().unwrap();
        let errors = text(&output.stderr);
        // Where cgroup v2 has no `pids` controller, a pod warns that nothing limits the processes of apps with its users.
        let said: Vec<_> = errors.lines().filter(|line| !line.contains("no pids controller")).collect();
        let expected = ["error: systemd-nspawn exited with 0 before the pod had a code"];
        assert_eq!((output.status.code(), said.as_slice()), (Some(254), expected.as_slice()), "{signal}");
        assert!(!pod.join("stage1/rkt/status/one").exists());
        gantry.wait_all();
    }
}

#[root_test]
fn a_pod_whose_directory_was_removed_makes_no_success() {
    for layout in ["overlay", "copy"] {
        for script in [FAILS_WHEN_STOPPED, &FAILS_WHEN_STOPPED.replace("exit 3", "exit 0")] {
            let gantry = Gantry::new();
            let pod = prepare(&gantry, script, &["--layout", layout]);
            let mut run = gantry.installer();
            run.arg("run").arg(&pod).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut run = run.spawn().unwrap();
            let mut line = String::new();
            BufReader::new(run.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line, "serving\n");
            let held = fs::File::open(&pod).unwrap();
            fs::remove_dir_all(&pod).unwrap();
            kill(Pid::from_raw(run.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
            let output = run.wait_with_output().unwrap();
            let said = text(&output.stderr);
            assert_eq!((output.status.code(), said.lines().count()), (Some(254), 1), "{layout}: {said}");
            assert!(said.contains("the pod directory was removed while the pod ran"), "{layout}: {said}");
            // By then, nothing is left of the pod.
            held.lock().unwrap();
        }
    }
}

#[root_test]
fn a_status_shows_no_sooner_than_its_app_has_ended() {
    let gantry = Gantry::new();
    let image = script("one", FAILS_WHEN_STOPPED);
    let image = gantry.image("one", &Rootfs::busybox().unwrap(), &image);
    let pod = gantry.prepare(&[&image], &[]);
    let listed = || {
        let entries = fs::read_dir(pod.join("stage1/rkt/status")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        let mut running = gantry.start(&pod);
        running.wait_for("serving");
        assert_eq!(listed(), [".one"], "what is reserved for it");
        running.signal(Signal::SIGTERM);
        assert_eq!((running.wait().0, listed()), (3, vec!["one".into()]));
        assert_eq!(status(&pod, "one"), 3);
    }
}
