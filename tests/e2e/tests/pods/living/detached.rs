// SPDX-License-Identifier: Apache-2.0
//! Pods in the background: they have names, outlive the command, are started again, and are removed at their end.

use std::fs;
use std::process::Stdio;

use gate::root_test;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use serde_json::Value;
use testing::image::script;
use testing::pods::{Gantry, wait_gone};
use testing::rootfs::Rootfs;

use super::{WAITS, id, output, refused, said, text, wait_until};

fn image(gantry: &Gantry, name: &str, app: &str) -> String {
    gantry.image(name, &Rootfs::busybox().unwrap(), &script(name, app)).to_str().unwrap().to_owned()
}

fn state(gantry: &Gantry, pod: &str) -> String {
    let object: Value = serde_json::from_str(&said(gantry, &["status", "--format", "json", pod])).unwrap();
    object["state"].as_str().unwrap().to_owned()
}

#[root_test]
fn a_pod_in_the_background_outlives_the_command() {
    let gantry = Gantry::new();
    let image = image(&gantry, "waits", WAITS);
    let file = gantry.beside("uuid");
    let words = ["run", "-d", "--name", "web", "--uuid-file", file.to_str().unwrap(), &image];
    let printed = said(&gantry, &words);
    let pod = id(&gantry.pod());
    assert_eq!(printed, format!("{pod}\n"));
    assert_eq!(fs::read_to_string(&file).unwrap(), printed);
    assert_eq!(state(&gantry, "web"), "running");
    wait_until("it is up", || said(&gantry, &["logs", "web"]) == "up\n");
    refused(&gantry, &["start", "web"], &["is running", "stop"]);
    said(&gantry, &["stop", "web"]);
    assert_eq!(said(&gantry, &["logs", "web"]), "up\nstops\n", "all that was written is there");
    // Another run of the same pod.
    assert_eq!(said(&gantry, &["start", "web"]), printed);
    let ups = || said(&gantry, &["logs", "web"]).lines().filter(|line| *line == "up").count();
    wait_until("it is up again", || ups() == 2);
    said(&gantry, &["stop", "web"]);
    let listed = said(&gantry, &["list"]);
    assert!(listed.lines().next().unwrap().contains("NAME") && listed.contains("web"), "{listed}");
    assert_eq!(said(&gantry, &["rm", "web"]), format!("removed {pod}\n"));
}

/// Between the two there is no remover yet.
#[root_test]
fn a_pod_that_is_removed_at_its_end_is_removed_if_the_command_is_interrupted_before_its_start() {
    for words in [&["run", "--rm"][..], &["run", "--rm", "-d"]] {
        let gantry = Gantry::new();
        let image = image(&gantry, "waits", WAITS);
        let fifo = gantry.beside("uuid");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let mut command = gantry.installer();
        command.args(words).arg("--uuid-file").arg(&fifo).arg(&image);
        let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("it is prepared", || gantry.dir().join("containers").exists() && gantry.pods().len() == 1);
        // It goes on when somebody reads the UUID.
        kill(Pid::from_raw(run.id().try_into().unwrap()), Signal::SIGINT).unwrap();
        fs::read(&fifo).unwrap();
        let output = run.wait_with_output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(130), "interrupted\n"));
        assert!(gantry.pods().is_empty(), "{words:?}");
    }
}

#[root_test]
fn two_pods_have_two_names() {
    let gantry = Gantry::new();
    let image = image(&gantry, "ends", "echo ran");
    said(&gantry, &["run", "--name", "one", &image]);
    gantry.wait_all();
    let pod = id(&gantry.pod());
    refused(
        &gantry,
        &["prepare", "--name", "one", &image],
        &[&format!("name one is taken by pod {pod}: expected another name"), "rm one"],
    );
    assert_eq!(gantry.pods().len(), 1, "nothing is left of the second one");
    refused(&gantry, &["status", "onne"], &["no pod \"onne\"", "did you mean one?"]);
    assert_eq!(said(&gantry, &["start", "--attach", "one"]), "ran\n");
    gantry.wait_all();
    said(&gantry, &["rm", "one"]);
    said(&gantry, &["run", "--name", "one", &image]);
    gantry.wait_all();
}

#[root_test]
fn a_pod_is_removed_at_its_end() {
    let gantry = Gantry::new();
    let image = image(&gantry, "ends", "echo ran");
    for _ in 0..3 {
        assert_eq!(said(&gantry, &["run", "--rm", "--name", "once", &image]), "ran\n");
    }
    wait_until("they are removed", || gantry.pods().is_empty());
    said(&gantry, &["run", "-d", "--rm", &image]);
    wait_until("it is removed", || gantry.pods().is_empty());
}

#[root_test]
fn a_pod_that_does_not_start_says_why() {
    let gantry = Gantry::new();
    let image = image(&gantry, "ends", "echo ran");
    let pod = gantry.prepare(&[image.as_ref()], &[]);
    // A manifest that was damaged since.
    fs::write(pod.join("container"), "{}").unwrap();
    let started = output(&gantry, &["start", &id(&pod)]);
    let error = text(&started.stderr);
    assert_eq!((started.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.contains("does not run: ") && error.contains("container"), "{error}");
    wait_gone(&pod);
}

#[root_test]
fn a_short_pod_has_run() {
    let gantry = Gantry::new();
    let image = image(&gantry, "ends", "echo out; echo err >&2; exit 7");
    let pod = said(&gantry, &["run", "-d", &image]);
    let pod = pod.trim_end();
    assert_eq!(output(&gantry, &["wait", pod]).stdout, b"7\n");
    let logs = output(&gantry, &["logs", pod]);
    assert_eq!((text(&logs.stdout).as_str(), text(&logs.stderr).as_str()), ("out\n", "err\n"));
}
