// SPDX-License-Identifier: Apache-2.0
//! What an app's process gets: arguments, environment, descriptors, groups, signals, limits.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use gate::root_test;
use serde_json::json;
use sha2::Digest;
use testing::image::{manifest, script, with_handler};
use testing::pods::{Gantry, status, text};
use testing::rootfs::Rootfs;

#[root_test]
fn arguments_and_environment_arrive_byte_for_byte() {
    let words = [
        "%n",
        "$HOME",
        "${X}",
        "$$",
        "\\",
        "\"",
        "'",
        ";",
        "é",
        "a\nb",
        "a\tb",
        "",
        " edge ",
        "\r\u{1}\u{7f}",
        "-",
        "end\\",
        "%%",
        "[Service]\nUser=0",
    ];
    let mut exec = vec!["/bin/sh", "-c", "cat /proc/$$/cmdline; echo; cat /proc/$$/environ; exit"];
    exec.extend(words);
    let mut image = manifest("exact", &exec);
    let values = words.iter().enumerate().map(|(n, word)| json!({"name": format!("V.{n}-x"), "value": word}));
    image["app"]["environment"] = values.collect();
    image["app"]["user"] = json!("app");
    let gantry = Gantry::new();
    let image = gantry.image("exact", &Rootfs::busybox().unwrap(), &image);
    let output = gantry.run(&[&image]);

    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut environment: Vec<String> =
        words.iter().enumerate().map(|(n, word)| format!("V.{n}-x={word}")).collect();
    environment.extend(["AC_APP_NAME=exact", path, "container=gantry"].map(str::to_owned));
    environment.sort();
    let ended = |words: &[&str]| words.iter().map(|word| format!("{word}\0")).collect::<String>();
    let environment: Vec<&str> = environment.iter().map(String::as_str).collect();
    let found = text(&output.stdout);
    let (before, after) = found.split_once("AC_METADATA_URL=http://").unwrap();
    // It may have a token, which is random.
    let found = before.to_owned() + after.split_once('\0').unwrap().1;
    assert_eq!(found, format!("{}\n{}", ended(&exec), ended(&environment)));
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[root_test]
fn long_arguments_arrive_whole() {
    let long = "x".repeat(100_000);
    let many: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
    let mut exec = vec!["/bin/sh", "-c", "echo $# ${#1}; shift 2000; echo $1", "sh", &long];
    exec.extend(many.iter().map(String::as_str));
    let gantry = Gantry::new();
    let image = gantry.image("long", &Rootfs::busybox().unwrap(), &manifest("long", &exec));
    let output = gantry.run(&[&image]);
    assert_eq!(text(&output.stdout), "2001 100000\n1999\n", "{}", text(&output.stderr));
}

#[root_test]
fn stdio_is_the_callers_own() {
    let gantry = Gantry::new();
    let image = gantry.image("cat", &Rootfs::busybox().unwrap(), &script("cat", "echo aside >&2; cat"));
    // 200 MB, in parts whose length is a multiple of no buffer's size.
    let part: Vec<u8> = (0..1_000_003_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let parts = 200;
    let mut command = gantry.with_images("run", &[&image], &[]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent = part.clone();
    let writer = std::thread::spawn(move || (0..parts).for_each(|_| stdin.write_all(&sent).unwrap()));
    let mut stdout = child.stdout.take().unwrap();
    let mut received = vec![0; part.len()];
    for number in 0..parts {
        stdout.read_exact(&mut received).unwrap();
        assert!(received == part, "part {number} of {parts}");
    }
    assert_eq!(stdout.read(&mut received).unwrap(), 0, "nothing is added");
    writer.join().unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap().stderr), "aside\n");
    gantry.wait_all();
}

#[root_test]
fn stdin_is_the_apps_and_not_its_handlers() {
    let gantry = Gantry::new();
    let image = with_handler(script("cat", "cat"), "pre-start", "cat; echo pre");
    let image = with_handler(image, "post-stop", "cat; echo post");
    let image = gantry.image("cat", &Rootfs::busybox().unwrap(), &image);
    let input = gantry.beside("input");
    fs::write(&input, "in\n").unwrap();
    let mut command = gantry.with_images("run", &[&image], &[]);
    let output = command.stdin(fs::File::open(&input).unwrap()).output().unwrap();
    gantry.wait_all();
    assert_eq!(text(&output.stdout), "pre\nin\npost\n", "{}", text(&output.stderr));
}

/// As many as the kernel takes, including the primary group.
#[root_test]
fn a_multitude_of_groups_takes_no_time() {
    let gantry = Gantry::new();
    let mut image = script("groups", "grep ^Groups: /proc/self/status | wc -w");
    let groups: Vec<u32> = (0..65_535).collect();
    image["app"]["supplementaryGIDs"] = json!(groups);
    let image = gantry.image("groups", &Rootfs::busybox().unwrap(), &image);
    let pod = gantry.prepare(&[&image], &[]);
    let begun = std::time::Instant::now();
    let (code, output) = gantry.start(&pod).wait();
    assert_eq!((code, text(&output.stdout).as_str()), (0, "65536\n"), "{}", text(&output.stderr));
    // Searching all groups for each of them would take most of a minute for half as many.
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// A signal that Rust's runtime or the caller ignores is not ignored in an app.
#[root_test]
fn no_signal_is_ignored() {
    let gantry = Gantry::new();
    let image = manifest("signals", &["grep", "SigIgn", "/proc/self/status"]);
    let image = gantry.image("signals", &Rootfs::busybox().unwrap(), &image);
    let output = std::process::Command::new("env")
        .arg("--ignore-signal=HUP,USR1,PIPE,CHLD")
        .arg(testing::program("installer"))
        .args(gantry.with_images("run", &[&image], &[]).get_args())
        .env("GANTRY_STAGE1", testing::stage1())
        .output()
        .unwrap();
    gantry.wait_all();
    assert_eq!(text(&output.stdout), "SigIgn:\t0000000000000000\n", "{}", text(&output.stderr));
}

#[root_test]
fn limits_are_the_pods_own_and_not_the_callers() {
    let gantry = Gantry::new();
    let mut image = manifest("limited", &["cat", "/proc/self/limits"]);
    let long = "a".repeat(100_000);
    image["app"]["environment"] = json!([{"name": "A", "value": long}, {"name": "B", "value": long}]);
    let image = with_handler(image, "pre-start", "ulimit -Ss");
    let image = gantry.image("limited", &Rootfs::busybox().unwrap(), &image);
    // The least that the installer itself can work with. Arguments may take a quarter of the stack.
    let lower =
        "ulimit -Ss 256; ulimit -St 100; ulimit -Sf 200000; ulimit -Sv 5000000; ulimit -Sn 200; exec \"$@\"";
    let installer = gantry.with_images("run", &[&image], &[]);
    let output = std::process::Command::new("sh")
        .args(["-c", lower, "sh"])
        .arg(installer.get_program())
        .args(installer.get_args())
        .env("GANTRY_STAGE1", testing::stage1())
        .output()
        .unwrap();
    gantry.wait_all();
    let said = text(&output.stdout);
    assert_eq!(said.lines().next(), Some("8192"), "{}", text(&output.stderr));
    for (name, soft) in [
        ("Max stack size", "8388608"),
        ("Max cpu time", "unlimited"),
        ("Max file size", "unlimited"),
        ("Max address space", "unlimited"),
        ("Max open files", "1024"),
        ("Max core file size", "0"),
    ] {
        let found = said.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        assert_eq!(found, Some(soft), "{name}: {said}");
    }
}

#[root_test]
fn a_pod_manifest_overrides_what_images_say() {
    let gantry = Gantry::new();
    let image =
        gantry.image("base", &Rootfs::busybox().unwrap(), &script("base", "echo the image's; exit 1"));
    let id = pod::digest::Digest::Sha256(sha2::Sha256::digest(fs::read(&image).unwrap()).into());
    let data = gantry.beside("data");
    fs::write(&data, "of the host\n").unwrap();
    let pod = json!({
        "acKind": "PodManifest", "acVersion": "0.8.11",
        "apps": [{
            "name": "renamed", "image": {"id": id},
            "app": {"exec": ["/bin/sh", "-c", "echo $AC_APP_NAME; cat /mnt/data"], "user": "0", "group": "0"},
            "mounts": [{"volume": "data", "path": "/mnt/data"}],
        }],
        "volumes": [{"name": "data", "kind": "host", "source": data}],
    });
    let path = gantry.beside("pod.json");
    fs::write(&path, pod.to_string()).unwrap();
    let mut command = gantry.with_images("run", &[&image], &["--pod-manifest"]);
    let output = command.arg(&path).output().unwrap();
    gantry.wait_all();
    assert_eq!(text(&output.stdout), "renamed\nof the host\n", "{}", text(&output.stderr));
    assert_eq!((output.status.code(), status(&gantry.pod(), "renamed")), (Some(0), 0));
    assert_eq!(
        fs::read_to_string(gantry.pod().join("container")).unwrap(),
        pod.to_string(),
        "it is kept as given"
    );
}

/// A caller may say that it has passed more sockets than it has. What is opened since is none of them.
#[root_test]
fn a_socket_that_was_not_passed_is_none() {
    let gantry = Gantry::new();
    let image = gantry.image("plain", &Rootfs::busybox().unwrap(), &script("plain", "echo up"));
    let pod = gantry.prepare(&[&image], &[]);
    let path = gantry.beside("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "LISTEN_PID=$$ LISTEN_FDS=2 exec ./stage1/init 3>&- 4>&-"]).current_dir(&pod);
    let output = command.env("NOTIFY_SOCKET", &path).stdin(Stdio::null()).output().unwrap();
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), ("up\n", ""));
    let mut message = [0; 1000];
    let count = manager.recv(&mut message).unwrap();
    assert!(text(&message[..count]).starts_with("READY=1\n"), "the manager is told");
    gantry.wait_all();
}
