// SPDX-License-Identifier: Apache-2.0
//! Programs beside an app: they are what the app is, and can do no more.

use std::io::{Read as _, Write as _};
use std::process::{Command, Output, Stdio};

use gate::root_test;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testing::image::script;
use testing::pods::Gantry;
use testing::rootfs::Rootfs;

use super::{output, refused, said, text};

/// Tells what a process is: all that an app and a program beside it have in common.
const TELLS: &str = "id; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; pwd; echo $A; hostname; \
                     for n in user ipc uts net pid cgroup; do readlink /proc/self/ns/$n; done; \
                     cat /proc/self/uid_map; cat /proc/self/cgroup; ls / | head -50";

/// Starts a pod in the background whose app tells what it is, and then waits.
fn start(gantry: &Gantry, change: impl FnOnce(&mut Value), words: &[&str]) -> String {
    let app = format!("{TELLS}; echo up; while :; do sleep 60 & wait; done");
    let mut manifest = script("app", &app);
    change(&mut manifest);
    let image = gantry.image("app", &Rootfs::busybox().unwrap(), &manifest);
    let pod = said(gantry, &[&["run", "-d", image.to_str().unwrap()], words].concat());
    let pod = pod.trim_end().to_owned();
    while !said(gantry, &["logs", &pod]).ends_with("up\n") {}
    pod
}

/// The pod runs as soon as its apps may start.
#[root_test]
fn a_program_is_run_right_after_the_pod_was_started() {
    let gantry = Gantry::new();
    let mut manifest = script("app", "while :; do sleep 60 & wait; done");
    manifest["app"]["isolators"] = serde_json::json!([{"name": "os/linux/no-new-privileges", "value": true}]);
    let image = gantry.image("app", &Rootfs::busybox().unwrap(), &manifest);
    for _ in 0..10 {
        let pod = said(&gantry, &["run", "-d", image.to_str().unwrap()]);
        let pod = pod.trim_end();
        let beside = enter(&gantry, pod, "grep NoNewPrivs /proc/self/status");
        assert_eq!((text(&beside.stdout).as_str(), text(&beside.stderr).as_str()), ("NoNewPrivs:\t1\n", ""));
        said(&gantry, &["kill", pod, "--app", "app", "-s", "WINCH"]);
        said(&gantry, &["rm", "--force", pod]);
    }
}

fn enter(gantry: &Gantry, pod: &str, script: &str) -> Output {
    output(gantry, &["enter", pod, "--", "/bin/sh", "-c", script])
}

/// A name, a change to the image's manifest, and options of the run.
type Case<'a> = (&'a str, &'a dyn Fn(&mut Value), &'a [&'a str]);

#[root_test]
fn a_program_beside_an_app_is_what_the_app_is() {
    let root = |manifest: &mut Value| manifest["app"]["user"] = "0".into();
    let none = |_: &mut Value| {};
    let unprivileged = |manifest: &mut Value| {
        manifest["app"]["isolators"] =
            serde_json::json!([{"name": "os/linux/no-new-privileges", "value": true}]);
    };
    let cases: [Case<'_>; 5] = [
        ("a user's", &none, &[]),
        ("root's", &root, &["-e", "A=b c"]),
        ("limited", &root, &["--cap-drop", "ALL", "-m", "64m"]),
        ("without new privileges", &unprivileged, &[]),
        ("with the host's users", &root, &["--userns", "host", "-w", "/usr"]),
    ];
    for (about, change, words) in cases {
        let gantry = Gantry::new();
        let pod = start(&gantry, change, words);
        let app = said(&gantry, &["logs", &pod]).replace("up\n", "");
        let beside = enter(&gantry, &pod, TELLS);
        assert_eq!(text(&beside.stderr), "", "{about}");
        assert_eq!(text(&beside.stdout), app, "{about}");
        said(&gantry, &["stop", &pod, "-t", "0"]);
    }
}

#[root_test]
fn it_can_do_no_more_than_the_app() {
    let gantry = Gantry::new();
    let pod = start(&gantry, |manifest| manifest["app"]["user"] = "0".into(), &[]);
    for attempt in [
        "mount -t tmpfs none /usr",
        "mknod /tmp/disk b 8 0 && cat /tmp/disk",
        "echo x > /proc/sys/kernel/hostname",
        "hostname other",
        "ls /proc/1/root/",
        "cat /proc/1/environ",
        "ls /usr/lib/gantry",
        "chroot / ls /pod",
        "chroot /proc/1/root ls /",
        "kill -STOP 1",
        "cat /dev/kmsg",
        "echo 1 > /proc/sysrq-trigger",
    ] {
        let tried = enter(&gantry, &pod, attempt);
        assert!(!tried.status.success(), "{attempt}: {tried:?}");
    }
    // No descriptor of the host's, and no variable, comes along, whatever the caller has open.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec 7</; exec \"$@\"", "sh"]).arg(gantry.installer().get_program());
    command.args(gantry.installer().get_args()).args(["enter", &pod, "--", "/bin/sh", "-c"]);
    command.arg("ls /proc/self/fd; echo; env | sort | cut -d= -f1").stdin(Stdio::null());
    let seen = text(&command.output().unwrap().stdout);
    let (descriptors, variables) = seen.split_once("\n\n").unwrap();
    assert_eq!(descriptors, "0\n1\n2\n3", "stdio and the directory that is listed");
    assert!(!variables.contains("GANTRY") && variables.contains("AC_APP_NAME"), "{variables}");
    said(&gantry, &["stop", &pod, "-t", "0"]);
}

#[root_test]
fn stdio_codes_and_signals_pass_through() {
    let gantry = Gantry::new();
    let pod = start(&gantry, |_| {}, &["--name", "web"]);
    assert_eq!(enter(&gantry, &pod, "exit 7").status.code(), Some(7));
    assert_eq!(enter(&gantry, &pod, "kill -9 $$").status.code(), Some(137));
    let both = enter(&gantry, "web", "echo out; echo err >&2");
    assert_eq!((text(&both.stdout).as_str(), text(&both.stderr).as_str()), ("out\n", "err\n"));
    let missing = output(&gantry, &["exec", "web", "--", "/none"]);
    assert_eq!(missing.status.code(), Some(127), "{missing:?}");
    assert!(text(&missing.stderr).contains("cannot run \"/none\""), "{missing:?}");
    let mut command = gantry.installer();
    command.args([
        "enter",
        "web",
        "--",
        "/bin/sh",
        "-c",
        "trap 'exit 9' TERM; cat; echo ready; while :; do sleep 1; done",
    ]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"typed\n").unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut seen = [0; 12];
    out.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"typed\nready\n");
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
    refused_with(&gantry, &["enter", "web", "--app", "none"], "has no app \"none\"");
    said(&gantry, &["stop", "web", "-t", "0"]);
    refused_with(&gantry, &["enter", "web"], "is exited: expected it to run");
    refused(&gantry, &["kill", "web"], &["is exited"]);
}

#[root_test]
fn it_ends_with_the_pod() {
    let gantry = Gantry::new();
    let pod = start(&gantry, |_| {}, &[]);
    let mut command = gantry.installer();
    command.args(["enter", &pod, "--", "/bin/sh", "-c", "echo in; sleep 1000"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut seen = [0; 3];
    child.stdout.take().unwrap().read_exact(&mut seen).unwrap();
    said(&gantry, &["stop", &pod]);
    let code = child.wait().unwrap().code().unwrap();
    assert!(code == 137 || code == 143, "{code}");
    gantry.wait_all();
}

/// Checks that a command fails with 254 and one line.
fn refused_with(gantry: &Gantry, words: &[&str], why: &str) {
    let output = output(gantry, words);
    let error = text(&output.stderr);
    assert_eq!((output.status.code(), error.lines().count()), (Some(254), 1), "{words:?}: {error}");
    assert!(error.starts_with("error: ") && error.contains(why), "{words:?}: {error}");
}
