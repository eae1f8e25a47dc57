// SPDX-License-Identifier: Apache-2.0
//! Pods in real nspawn and systemd: how apps start, end, and decide the pod's end.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::json;
use sha2::Digest;
use tests::host::{can_run, snapshot};
use tests::image::{manifest, script, with_handler};
use tests::pods::{Gantry, status};
use tests::rootfs::{Node, Rootfs};

/// Runs until it is told to stop, and ends well then.
const SERVE: &str = "trap 'echo stopped; exit 0' TERM; echo serving; while :; do sleep 3600 & wait; done";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_apps_exit_code_is_the_pods() {
    if !can_run("an_apps_exit_code_is_the_pods") {
        return;
    }
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

#[test]
fn the_first_failing_app_decides() {
    if !can_run("the_first_failing_app_decides") {
        return;
    }
    let gantry = Gantry::new();
    let busybox = Rootfs::busybox().unwrap();
    // The second fails as well, because it is stopped: later, so it does not decide.
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

#[test]
fn an_app_that_ends_well_leaves_the_others() {
    if !can_run("an_app_that_ends_well_leaves_the_others") {
        return;
    }
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

#[test]
fn handlers_run_around_the_app() {
    if !can_run("handlers_run_around_the_app") {
        return;
    }
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

#[test]
fn a_failing_pre_start_fails_the_app() {
    if !can_run("a_failing_pre_start_fails_the_app") {
        return;
    }
    let gantry = Gantry::new();
    let image = with_handler(script("early", "echo never"), "pre-start", "echo pre; exit 5");
    let image = gantry.image("early", &Rootfs::busybox().unwrap(), &image);
    let output = gantry.run(&[&image]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(5), "pre\n"));
    assert_eq!(status(&gantry.pod(), "early"), 5);
}

/// The program is in a volume of the host's, where prepare does not look.
#[test]
fn a_program_that_can_not_be_run_is_named() {
    if !can_run("a_program_that_can_not_be_run_is_named") {
        return;
    }
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

#[test]
fn arguments_and_environment_arrive_byte_for_byte() {
    if !can_run("arguments_and_environment_arrive_byte_for_byte") {
        return;
    }
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
    environment.extend(["HOME=/", "LOGNAME=app", "SHELL=/bin/sh", "USER=app"].map(str::to_owned));
    environment.sort();
    let ended = |words: &[&str]| words.iter().map(|word| format!("{word}\0")).collect::<String>();
    let environment: Vec<&str> = environment.iter().map(String::as_str).collect();
    assert_eq!(text(&output.stdout), format!("{}\n{}", ended(&exec), ended(&environment)));
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[test]
fn long_arguments_arrive_whole() {
    if !can_run("long_arguments_arrive_whole") {
        return;
    }
    let long = "x".repeat(100_000);
    let many: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
    let mut exec = vec!["/bin/sh", "-c", "echo $# ${#1}; shift 2000; echo $1", "sh", &long];
    exec.extend(many.iter().map(String::as_str));
    let gantry = Gantry::new();
    let image = gantry.image("long", &Rootfs::busybox().unwrap(), &manifest("long", &exec));
    let output = gantry.run(&[&image]);
    assert_eq!(text(&output.stdout), "2001 100000\n1999\n", "{}", text(&output.stderr));
}

#[test]
fn stdio_is_the_callers_own() {
    if !can_run("stdio_is_the_callers_own") {
        return;
    }
    let gantry = Gantry::new();
    let image = gantry.image("cat", &Rootfs::busybox().unwrap(), &script("cat", "echo aside >&2; cat"));
    // 200 MB, of a length that no buffer's is a divisor of.
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

#[test]
fn stdin_is_the_apps_and_not_its_handlers() {
    if !can_run("stdin_is_the_apps_and_not_its_handlers") {
        return;
    }
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

#[test]
fn a_post_stop_that_fails_is_told_of() {
    if !can_run("a_post_stop_that_fails_is_told_of") {
        return;
    }
    for (handler, told) in [("exit 3", "ended with 3"), ("sleep 1000", "took too long")] {
        let gantry = Gantry::new();
        let mut image = with_handler(script("untidy", "exit 0"), "post-stop", handler);
        image["annotations"] = json!([{"name": "gantry/post-stop-timeout", "value": "1"}]);
        let image = gantry.image("untidy", &Rootfs::busybox().unwrap(), &image);
        let output = gantry.run(&[&image]);
        let expected = format!("warning: app untidy: its post-stop handler {told}\n");
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), expected));
    }
}

/// As many as the kernel takes: the primary one is among them.
#[test]
fn a_multitude_of_groups_takes_no_time() {
    if !can_run("a_multitude_of_groups_takes_no_time") {
        return;
    }
    let gantry = Gantry::new();
    let mut image = script("groups", "grep ^Groups: /proc/self/status | wc -w");
    let groups: Vec<u32> = (2000..67_536).filter(|gid| *gid != 65_535).collect();
    image["app"]["supplementaryGIDs"] = json!(groups);
    let image = gantry.image("groups", &Rootfs::busybox().unwrap(), &image);
    let pod = gantry.prepare(&[&image], &[]);
    let begun = std::time::Instant::now();
    let (code, output) = gantry.start(&pod).wait();
    assert_eq!((code, text(&output.stdout).as_str()), (0, "65537\n"), "{}", text(&output.stderr));
    // A half of them would take most of a minute where each is looked for among all.
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// The message takes a call that may not be allowed; the code is there all the same. What a volume of the host's has
/// may change, so prepare does not look there.
#[test]
fn a_program_that_can_not_be_run_has_its_code_under_a_filter() {
    if !can_run("a_program_that_can_not_be_run_has_its_code_under_a_filter") {
        return;
    }
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

#[test]
fn an_app_has_its_root_user_and_directory() {
    if !can_run("an_app_has_its_root_user_and_directory") {
        return;
    }
    let show =
        "id -u; id -g; id -G; pwd; ls /; ls -d /proc/self /sys/kernel; echo x > /dev/null; hostname; umask";
    let mut image = script("view", show);
    image["app"]["supplementaryGIDs"] = json!([4321, 27]);
    image["app"]["workingDirectory"] = json!("/work %n \\");
    let rootfs = Rootfs::busybox().unwrap().with("work %n \\", Node::Directory(0o755));
    let gantry = Gantry::new();
    let image = gantry.image("view", &rootfs, &image);
    let output = gantry.run(&[&image]);
    let id = gantry.pod().file_name().unwrap().to_string_lossy()[..8].to_owned();
    let expected = format!(
        "1000\n1000\n1000 27 4321\n/work %n \\\nbin\ndev\netc\nlib\nlib64\nproc\nsbin\nsys\ntmp\nusr\nwork %n \\\n\
         /proc/self\n/sys/kernel\ngantry-{id}\n0022\n"
    );
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
}

/// CAP_MKNOD is in appc's default set, so what keeps an app from the host's devices is where they can be opened.
#[test]
fn devices_work_in_dev_alone_and_nothing_is_made_there() {
    if !can_run("devices_work_in_dev_alone_and_nothing_is_made_there") {
        return;
    }
    let gantry = Gantry::new();
    let volume = gantry.beside("volume");
    fs::create_dir(&volume).unwrap();
    let try_all = "for dir in / /tmp /volume /dev /dev/shm; do mknod $dir/made c 1 3 && echo x > $dir/made && echo $dir; done; \
                   echo x > /dev/null && echo null";
    let mut image = manifest("devices", &["/bin/sh", "-c", try_all]);
    image["app"]["mountPoints"] = json!([{"name": "volume", "path": "/volume"}]);
    let image = gantry.image("devices", &Rootfs::busybox().unwrap(), &image);
    let argument = format!("volume,kind=host,source={}", volume.display());
    let output = gantry.with_images("run", &[&image], &["--volume", &argument]).output().unwrap();
    gantry.wait_all();
    assert_eq!(text(&output.stdout), "null\n");
    let errors = text(&output.stderr);
    assert_eq!(errors.matches("can't create").count(), 4, "{errors}");
    assert_eq!(errors.matches("Read-only file system").count(), 1, "{errors}");
}

#[test]
fn volumes_are_mounted_in_the_apps_root() {
    if !can_run("volumes_are_mounted_in_the_apps_root") {
        return;
    }
    let gantry = Gantry::new();
    let (data, config) = (gantry.beside("da:ta \\ x"), gantry.beside("config"));
    fs::create_dir(&data).unwrap();
    fs::write(&config, "configured\n").unwrap();
    let mut image = manifest(
        "volumes",
        &[
            "/bin/sh",
            "-c",
            "cat /etc/app.conf; echo new > /mnt/data/file && ls /target/data; echo no > /etc/app.conf",
        ],
    );
    image["app"]["mountPoints"] = json!([
        {"name": "data", "path": "/mnt/data"},
        {"name": "config", "path": "/etc/app.conf", "readOnly": true},
    ]);
    // In the app's root, /mnt is a link to what is /target there; on the host that would be another.
    let rootfs = Rootfs::busybox()
        .unwrap()
        .with("mnt", Node::Link("/target".into()))
        .with("target", Node::Directory(0o755));
    let image = gantry.image("volumes", &rootfs, &image);
    let volume =
        |name: &str, source: &std::path::Path| format!("{name},kind=host,source={}", source.display());
    let arguments = ["--volume", &volume("data", &data), "--volume", &volume("config", &config)];
    let output = gantry.with_images("run", &[&image], &arguments).output().unwrap();
    gantry.wait_all();
    assert_eq!(text(&output.stdout), "configured\nfile\n", "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("Read-only file system"), "{}", text(&output.stderr));
    assert_eq!(fs::read_to_string(data.join("file")).unwrap(), "new\n");
    assert_eq!(fs::read_to_string(config).unwrap(), "configured\n");
    assert!(!std::path::Path::new("/target").exists(), "nothing is made on the host");
}

#[test]
fn a_pod_manifest_overrides_what_images_say() {
    if !can_run("a_pod_manifest_overrides_what_images_say") {
        return;
    }
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

#[test]
fn sigterm_stops_a_pod_in_order_and_it_starts_again() {
    if !can_run("sigterm_stops_a_pod_in_order_and_it_starts_again") {
        return;
    }
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

#[test]
fn a_running_pod_is_not_started_twice() {
    if !can_run("a_running_pod_is_not_started_twice") {
        return;
    }
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

/// The reaper holds the lock a little longer than the pod's process is there.
#[test]
fn a_pod_that_has_ended_starts_again_at_once() {
    if !can_run("a_pod_that_has_ended_starts_again_at_once") {
        return;
    }
    let gantry = Gantry::new();
    let image = gantry.image("short", &Rootfs::busybox().unwrap(), &script("short", "exit 0"));
    let pod = gantry.prepare(&[&image], &[]);
    for start in 1..=20 {
        let output = std::process::Command::new("./stage1/init").current_dir(&pod).output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "start {start}");
    }
    gantry.wait_all();
}

#[test]
fn nothing_is_left_of_a_pod_however_it_ends() {
    if !can_run("nothing_is_left_of_a_pod_however_it_ends") {
        return;
    }
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
        // Other tests' pods come and go: what is this pod's is told by its id.
        let id = pod.file_name().unwrap().to_string_lossy();
        let left = format!("{:?}", snapshot());
        assert!(!left.contains(&*id), "{signal}: {left}");
    }
}

#[test]
fn the_hosts_time_zone_is_the_pods() {
    if !can_run("the_hosts_time_zone_is_the_pods") {
        return;
    }
    let gantry = Gantry::new();
    let image = gantry.image("zone", &Rootfs::busybox().unwrap(), &script("zone", "exit 0"));
    assert_eq!(gantry.run(&[&image]).status.code(), Some(0));
    let stage1 = gantry.pod().join("stage1");
    match fs::read_link("/etc/localtime") {
        Ok(target) if target.starts_with("/usr/share/zoneinfo") => {
            assert_eq!(fs::read_link(stage1.join("etc/localtime")).unwrap(), target);
            let zone = stage1.join(target.strip_prefix("/").unwrap());
            assert_eq!(fs::read(zone).ok(), fs::read(&target).ok());
        }
        _ => assert_eq!(fs::read(stage1.join("etc/localtime")).ok(), fs::read("/etc/localtime").ok()),
    }
}

#[test]
fn init_names_what_it_can_not_load() {
    if !can_run("init_names_what_it_can_not_load") {
        return;
    }
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

#[test]
fn a_dry_run_shows_the_plan_and_does_nothing() {
    if !can_run("a_dry_run_shows_the_plan_and_does_nothing") {
        return;
    }
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
        "== file etc/systemd/system/app-plan.service ==",
        "User=1000",
        "echo never",
        "systemd-nspawn",
        "apps/plan: store/tree-v1/sha256-",
    ] {
        assert!(plan.contains(part), "{part:?} in {plan}");
    }
    assert!(!plan.chars().any(|c| c.is_control() && c != '\n'), "{plan:?}");
    assert_eq!(listing(), before);
}

/// Neither what Rust's runtime nor what the caller ignores is ignored in an app.
#[test]
fn no_signal_is_ignored() {
    if !can_run("no_signal_is_ignored") {
        return;
    }
    let gantry = Gantry::new();
    let image = manifest("signals", &["grep", "SigIgn", "/proc/self/status"]);
    let image = gantry.image("signals", &Rootfs::busybox().unwrap(), &image);
    let output = std::process::Command::new("env")
        .arg("--ignore-signal=HUP,USR1,PIPE,CHLD")
        .arg(tests::program("installer"))
        .args(gantry.with_images("run", &[&image], &[]).get_args())
        .env("GANTRY_STAGE1", tests::stage1())
        .output()
        .unwrap();
    gantry.wait_all();
    assert_eq!(text(&output.stdout), "SigIgn:\t0000000000000000\n", "{}", text(&output.stderr));
}
