// SPDX-License-Identifier: Apache-2.0
//! How apps end, and which of them decides the pod's end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use gate::root_test;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testing::image::{manifest, script, with_handler};
use testing::pods::{Gantry, status, text};
use testing::rootfs::Rootfs;

use super::SERVE;

#[root_test]
fn an_apps_exit_code_is_the_pods() {
    for (script_text, code) in
        [("exit 0", 0), ("exit 7", 7), ("kill -SEGV $$", 139), ("kill -TERM $$", 143), ("kill -40 $$", 168)]
    {
        let gantry = Gantry::new();
        let image = gantry.image("one", &Rootfs::busybox().unwrap(), &script("one", script_text));
        let output = gantry.run(&[&image]);
        assert_eq!(output.status.code(), Some(code), "{script_text}: {}", text(&output.stderr));
        assert_eq!(i32::from(status(&gantry.pod(), "one")), code, "{script_text}");
        assert_eq!(text(&output.stderr), "", "{script_text}");
    }
}

#[root_test]
fn the_first_failing_app_decides() {
    let gantry = Gantry::new();
    let busybox = Rootfs::busybox().unwrap();
    // The second app also fails, because it is stopped. That is later, so it does not decide.
    let first = gantry.image("first", &busybox, &script("first", "exit 7"));
    let second = "trap 'exit 9' TERM; while :; do sleep 3600 & wait; done";
    let second = with_handler(script("second", second), "post-stop", "echo after second");
    let second = gantry.image("second", &busybox, &second);
    let well = gantry.image("well", &busybox, &script("well", "exit 0"));
    let output = gantry.run(&[&second, &well, &first]);
    assert_eq!(output.status.code(), Some(7));
    let pod = gantry.pod();
    assert_eq!(status(&pod, "first"), 7);
    assert!([9, 143].contains(&status(&pod, "second")), "stopped after or before it set its trap");
    assert!([0, 143].contains(&status(&pod, "well")), "ended before or after the first");
    assert_eq!(text(&output.stdout), "after second\n");
}

#[root_test]
fn an_app_that_ends_well_leaves_the_others() {
    let gantry = Gantry::new();
    let busybox = Rootfs::busybox().unwrap();
    let fast = gantry.image("fast", &busybox, &script("fast", "exit 0"));
    let slow = gantry.image("slow", &busybox, &script("slow", SERVE));
    let pod = gantry.prepare(&[&fast, &slow], &[]);
    let mut running = gantry.start(&pod);
    running.wait_for("serving");
    while !pod.join("stage1/rkt/status/fast").exists() {
        std::thread::yield_now();
    }
    running.signal(Signal::SIGTERM);
    let (code, output) = running.wait();
    assert_eq!((code, text(&output.stdout).as_str()), (0, "stopped\n"));
    assert_eq!((status(&pod, "fast"), status(&pod, "slow")), (0, 0));
}

#[root_test]
fn no_apps_status_is_in_anothers_way() {
    let gantry = Gantry::new();
    let busybox = Rootfs::busybox().unwrap();
    let meeting = |mut image: Value| {
        image["app"]["mountPoints"] = json!([{"name": "meet", "path": "/meet"}]);
        image
    };
    let new = meeting(with_handler(script("a.new", "exit 0"), "post-stop", "echo > /meet/ended"));
    let second = meeting(script("a", "while ! [ -e /meet/ended ]; do sleep 0.05; done; exit 3"));
    let (new, second) = (gantry.image("a.new", &busybox, &new), gantry.image("a", &busybox, &second));
    let pod = gantry.prepare(&[&new, &second], &["--volume", "meet,kind=empty,mode=1777"]);
    let (code, _) = gantry.start(&pod).wait();
    assert_eq!((code, status(&pod, "a.new"), status(&pod, "a")), (3, 0, 3));
    assert_eq!(fs::read_dir(pod.join("stage1/rkt/status")).unwrap().count(), 2);
}

#[root_test]
fn handlers_run_around_the_app() {
    for (code, main) in [(0, "echo main"), (3, "echo main; exit 3")] {
        let gantry = Gantry::new();
        let image = script("handled", main);
        let image = with_handler(image, "pre-start", "echo pre; sleep 0.2; echo pre ends");
        let image = with_handler(image, "post-stop", "echo post; sleep 0.2; echo post ends");
        let image = gantry.image("handled", &Rootfs::busybox().unwrap(), &image);
        let output = gantry.run(&[&image]);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "pre\npre ends\nmain\npost\npost ends\n");
    }
}

#[root_test]
fn a_failing_pre_start_fails_the_app() {
    let gantry = Gantry::new();
    let image = with_handler(script("early", "echo never"), "pre-start", "echo pre; exit 5");
    let image = gantry.image("early", &Rootfs::busybox().unwrap(), &image);
    let output = gantry.run(&[&image]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(5), "pre\n"));
    assert_eq!(status(&gantry.pod(), "early"), 5);
}

/// The program is in a host volume, which `prepare` does not look into.
#[root_test]
fn a_program_that_can_not_be_run_is_named() {
    for (content, code, error) in [
        ("#!/no/such/interpreter\n", 127, "ENOENT: No such file or directory"),
        ("neither script nor program", 126, "ENOEXEC: Exec format error"),
    ] {
        let gantry = Gantry::new();
        let programs = gantry.beside("programs");
        fs::create_dir(&programs).unwrap();
        fs::write(programs.join("lo\u{1b}st"), content).unwrap();
        fs::set_permissions(programs.join("lo\u{1b}st"), fs::Permissions::from_mode(0o755)).unwrap();
        let mut image = manifest("lost", &["lo\u{1b}st"]);
        image["app"]["environment"] = json!([{"name": "PATH", "value": "/programs"}]);
        image["app"]["mountPoints"] = json!([{"name": "programs", "path": "/programs"}]);
        let image = gantry.image("lost", &Rootfs::busybox().unwrap(), &image);
        let volume = format!("programs,kind=host,source={}", programs.display());
        let output = gantry.with_images("run", &[&image], &["--volume", &volume]).output().unwrap();
        gantry.wait_all();
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(text(&output.stderr), format!("error: app lost: cannot run \"lo\\u{{1b}}st\": {error}\n"));
    }
}

/// The message needs a call that may not be allowed; the code is returned all the same. The contents of a host volume
/// may change, so `prepare` does not look there.
#[root_test]
fn a_program_that_can_not_be_run_has_its_code_under_a_filter() {
    for (calls, error) in [
        (&["execve"][..], ""),
        (
            &["execve", "write"],
            "error: app lost: cannot run \"/v/lost\": ENOENT: No such file or directory\n",
        ),
    ] {
        let gantry = Gantry::new();
        let source = gantry.beside("source");
        fs::create_dir(&source).unwrap();
        let mut image = manifest("lost", &["/v/lost"]);
        image["app"]["mountPoints"] = json!([{"name": "v", "path": "/v"}]);
        image["app"]["isolators"] = json!([{"name": "os/linux/seccomp-retain-set", "value": {"set": calls}}]);
        let image = gantry.image("lost", &Rootfs::busybox().unwrap(), &image);
        let volume = format!("v,kind=host,source={}", source.display());
        let output = gantry.with_images("run", &[&image], &["--volume", &volume]).output().unwrap();
        gantry.wait_all();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(127), error), "{calls:?}");
    }
}

#[root_test]
fn a_post_stop_that_fails_is_told_of() {
    let stubborn = "trap '' TERM; while :; do sleep 1; done";
    for (handler, told) in [
        ("exit 3", "ended with 3"),
        ("sleep 1000", "took too long"),
        (stubborn, "took too long"),
        (&format!("({stubborn}) & sleep 0.5"), "took too long"),
    ] {
        let gantry = Gantry::new();
        let mut image = with_handler(script("untidy", "exit 0"), "post-stop", handler);
        image["annotations"] = json!([
            {"name": "gantry/post-stop-timeout", "value": "1"},
            {"name": "gantry/stop-timeout", "value": "1"},
            {"name": "gantry/stop-mode", "value": "all"},
        ]);
        let image = gantry.image("untidy", &Rootfs::busybox().unwrap(), &image);
        let started = Instant::now();
        let output = gantry.run(&[&image]);
        // systemd's own timeout is 90 seconds.
        assert!(started.elapsed() < Duration::from_secs(30), "{handler}: {:?}", started.elapsed());
        let expected = format!("warning: app untidy: its post-stop handler {told}\n");
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), expected));
    }
}
