// SPDX-License-Identifier: Apache-2.0
//! Hosts and callers that people have.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};

use gate::root_test;
use nix::sys::signal::Signal::SIGTERM;
use serde_json::{Value, json};
use testing::image::{manifest, script, with_handler};
use testing::pods::{Gantry, Running, assert_says, status, text};
use testing::rootfs::{Node, Rootfs};

use super::{annotate, roots, run, run_tree, wrote};

/// Nginx, apache and php-fpm images link their logs there.
#[root_test]
fn an_app_that_is_not_root_opens_dev_stdout_and_dev_stderr() {
    let gantry = Gantry::new();
    let image = script(
        "field",
        "echo out > /dev/stdout; echo err > /dev/stderr; ls -l /var/log/nginx > /dev/null; \
                                 echo log >> /log",
    );
    let tree = Rootfs::busybox().unwrap().with("log", Node::Link("/dev/stdout".into()));
    let tree = tree.with("var/log/nginx/access.log", Node::Link("/dev/stdout".into()));
    let output = run_tree(&gantry, &tree, &image, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), ("out\nlog\n", "err\n"));
    // A regular file is never given away.
    let image = gantry.image("field", &tree, &roots("echo out > /dev/stdout"));
    let path = gantry.beside("out");
    let file = File::create(&path).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    gantry.with_images("run", &[&image], &[]).stdout(file).output().unwrap();
    gantry.wait_all();
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o777), (0, 0o600));
}

/// What the first process leaves behind.
#[root_test]
fn what_is_left_after_the_first_process_is_ended() {
    let gantry = Gantry::new();
    let app = "(trap '' TERM; echo up; while :; do sleep 60; done) & trap 'echo first; exit 0' TERM; while :; do wait; done";
    let mut image = roots(app);
    annotate(&mut image, "gantry/stop-timeout", "1");
    let image = gantry.image("field", &Rootfs::busybox().unwrap(), &image);
    let mut running = gantry.start(&gantry.prepare(&[&image], &[]));
    running.wait_for("up");
    running.signal(SIGTERM);
    let (code, output) = running.wait();
    assert_eq!((code, text(&output.stdout).as_str()), (0, "first\n"), "{}", text(&output.stderr));
}

/// A wrapper whose child saves when it is asked to stop, through a filter beside it. If that were asked, too, the child would
/// write to nobody.
#[root_test]
fn the_first_process_is_asked_to_stop_and_what_is_beside_it_goes_on() {
    let gantry = Gantry::new();
    let child = "echo $(exec sh -c 'echo $PPID') > /child; trap 'sleep 0.3; echo saves; echo > /saved; exit 0' TERM; \
                 echo up; while :; do sleep 60 >/dev/null & wait; done";
    let wrapper = format!(
        "({child}) | cat & trap 'kill $(cat /child); wait; ls /saved; exit 0' TERM; while :; do wait; done"
    );
    for mode in [None, Some("mixed"), Some("all")] {
        let mut image = with_handler(roots(&wrapper), "post-stop", "echo after");
        mode.iter().for_each(|mode| annotate(&mut image, "gantry/stop-mode", mode));
        let image = gantry.image("field", &Rootfs::busybox().unwrap(), &image);
        let mut running = gantry.start(&gantry.prepare(&[&image], &[]));
        running.wait_for("up");
        running.signal(SIGTERM);
        let (code, output) = running.wait();
        let said = text(&output.stdout);
        if mode == Some("all") {
            assert!(!said.contains("saves"), "{said}");
        } else {
            let expected = (0, "saves\n/saved\nafter\n");
            assert_eq!((code, said.as_str()), expected, "{mode:?}: {}", text(&output.stderr));
        }
    }
    let mut bad = roots("true");
    annotate(&mut bad, "gantry/stop-mode", "process");
    let output = run(&gantry, &bad, &[]);
    assert_eq!(output.status.code(), Some(254));
    assert_says(&text(&output.stderr), &["gantry/stop-mode", "expected mixed or all"]);
}

/// Nginx wants QUIT, postgres INT.
#[root_test]
fn an_app_is_stopped_by_the_signal_that_it_asks_for() {
    let gantry = Gantry::new();
    let mut image = roots(
        "trap 'echo quit; exit 0' QUIT; trap 'echo term; exit 1' TERM; echo up; while :; do sleep 60 & wait; done",
    );
    annotate(&mut image, "gantry/stop-signal", "QUIT");
    let image = gantry.image("field", &Rootfs::busybox().unwrap(), &image);
    let mut running = gantry.start(&gantry.prepare(&[&image], &[]));
    running.wait_for("up");
    running.signal(SIGTERM);
    let (code, output) = running.wait();
    assert_eq!((code, text(&output.stdout).as_str()), (0, "quit\n"));
}

fn stopped(gantry: &Gantry, name: &str, manifest: &Value) -> (i32, u8) {
    let image = gantry.image(name, &Rootfs::busybox().unwrap(), manifest);
    let pod = gantry.prepare(&[&image], &[]);
    let mut running: Running = gantry.start(&pod);
    running.wait_for("up");
    running.signal(SIGTERM);
    let (code, _) = running.wait();
    (code, status(&pod, "field"))
}

/// A JVM, npm and shells end with 128+N of the signal that asked them to stop.
#[root_test]
fn a_program_that_ends_with_the_code_of_its_stop_signal_was_stopped() {
    let gantry = Gantry::new();
    let ends = |signal: &str, code: u8| {
        roots(&format!("trap 'exit {code}' {signal}; echo up; while :; do sleep 60 & wait; done"))
    };
    assert_eq!(stopped(&gantry, "term", &ends("TERM", 143)), (0, 143));
    assert_eq!(stopped(&gantry, "other", &ends("TERM", 142)), (142, 142));
    let mut quit = ends("QUIT", 131);
    annotate(&mut quit, "gantry/stop-signal", "SIGQUIT");
    assert_eq!(stopped(&gantry, "quit", &quit), (0, 131));
    let mut killed = roots("echo up; exec sleep 1000");
    annotate(&mut killed, "gantry/stop-signal", "SIGINT");
    assert_eq!(stopped(&gantry, "killed", &killed), (0, 130));
    // Nobody asked.
    let output = run(&gantry, &roots("exit 143"), &[]);
    assert_eq!(output.status.code(), Some(143));
}

/// Programs with codes of their own for a good end.
#[root_test]
fn success_codes_are_good_ends() {
    let gantry = Gantry::new();
    let mut image = roots("exit 3");
    annotate(&mut image, "gantry/success-codes", "3,17-19");
    assert_eq!(run(&gantry, &image, &[]).status.code(), Some(0));
    assert_eq!(status(&gantry.pod(), "field"), 3);
    for (code, expected) in [("18", 0), ("16", 16), ("1", 1)] {
        let gantry = Gantry::new();
        let mut image = roots(&format!("exit {code}"));
        annotate(&mut image, "gantry/success-codes", "3,17-19");
        assert_eq!(run(&gantry, &image, &[]).status.code(), Some(expected), "{code}");
    }
    for bad in ["", "x", "256", "9-3", "3,,4", "-1"] {
        let gantry = Gantry::new();
        let mut image = roots("true");
        annotate(&mut image, "gantry/success-codes", bad);
        let output = run(&gantry, &image, &[]);
        assert_eq!(output.status.code(), Some(254), "{bad}");
        assert_says(&text(&output.stderr), &["gantry/success-codes"]);
    }
}

/// An i386 program has system calls of other numbers.
#[root_test]
fn a_filter_for_a_32_bit_program_is_refused_before_the_start() {
    let gantry = Gantry::new();
    let mut i386 = Node::program_file();
    // ELFCLASS32, EM_386; the fields after the entry are as long as an address.
    i386[4] = 1;
    (i386[18], i386[19]) = (3, 0);
    i386[20..].fill(0);
    (i386[20], i386[28], i386[40], i386[42], i386[44]) = (1, 52, 52, 32, 1);
    i386[52] = 1;
    let tree = Rootfs::busybox().unwrap().with("program", Node::File(0o755, i386));
    let mut image = manifest("field", &["/program"]);
    image["app"]["isolators"] = json!([{"name": "os/linux/seccomp-remove-set", "value": {"set": ["mount"]}}]);
    let output = run_tree(&gantry, &tree, &image, &[]);
    assert_eq!(output.status.code(), Some(254));
    assert_says(&text(&output.stderr), &["/program", "32-bit", "seccomp"]);
}

/// /dev/net/tun, fuse, kvm, serial lines.
#[root_test]
fn a_device_is_given_to_an_app_at_its_own_name() {
    let gantry = Gantry::new();
    let node = gantry.beside("node");
    nix::sys::stat::mknod(
        &node,
        nix::sys::stat::SFlag::S_IFCHR,
        nix::sys::stat::Mode::from_bits_truncate(0o666),
        nix::sys::stat::makedev(1, 5),
    )
    .unwrap();
    let look = "head -c 3 /dev/own/zero | wc -c; test -c /dev/own/zero && echo device; ls /dev/own";
    let device = format!("{}:/dev/own/zero", node.display());
    wrote(&run(&gantry, &roots(look), &["--device", &device]), "3\ndevice\nzero\n");
    // What all apps have there stays what it is.
    let full = run(&gantry, &roots(""), &["--device", "/dev/full"]);
    assert_eq!(full.status.code(), Some(254));
    assert_says(&text(&full.stderr), &["/dev/full", "all apps have"]);
    let read_only = run(&gantry, &roots(""), &["--device", &format!("{}:/dev/zero2:r", node.display())]);
    assert_eq!(read_only.status.code(), Some(2));
    assert_says(&text(&read_only.stderr), &["zero2:r", "expected rw or nothing"]);
    let missing = run(&gantry, &roots(""), &["--device", "/dev/none-such"]);
    assert_eq!(missing.status.code(), Some(254));
    assert_says(&text(&missing.stderr), &["/dev/none-such"]);
    let file = gantry.beside("file");
    fs::write(&file, "").unwrap();
    let none = run(&gantry, &roots(""), &["--device", &format!("{}:/dev/x", file.display())]);
    assert_eq!(none.status.code(), Some(2));
    assert_says(&text(&none.stderr), &["file", "device"]);
}

/// /dev/log is a socket.
#[root_test]
fn a_socket_may_be_a_volume_below_dev() {
    let gantry = Gantry::new();
    let socket = gantry.beside("log");
    let listener = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    let mount = format!("{}:/dev/log", socket.display());
    let output = run(&gantry, &roots("test -S /dev/log && echo socket"), &["--volume", &mount]);
    wrote(&output, "socket\n");
    drop(listener);
    // What every app has stays what it is.
    let over = run(&gantry, &roots(""), &["--volume", &format!("{}:/dev/null", socket.display())]);
    assert_eq!(over.status.code(), Some(254));
    assert_says(&text(&over.stderr), &["/dev/null"]);
}

/// Nodes in a directory of the host's are none in the app.
#[root_test]
fn device_nodes_in_a_volume_are_a_warning() {
    let gantry = Gantry::new();
    let directory = gantry.beside("nodes");
    fs::create_dir(&directory).unwrap();
    nix::sys::stat::mknod(
        &directory.join("zero"),
        nix::sys::stat::SFlag::S_IFCHR,
        nix::sys::stat::Mode::from_bits_truncate(0o666),
        nix::sys::stat::makedev(1, 5),
    )
    .unwrap();
    let output = run(&gantry, &roots("ls /n"), &["--volume", &format!("{}:/n", directory.display())]);
    wrote(&output, "zero\n");
    assert_says(&text(&output.stderr), &["warning", "/n", "device node", "zero", "--device"]);
}

/// Found before anything is unpacked, and named.
#[root_test]
fn a_directory_that_nothing_can_be_executed_in_is_refused_by_prepare() {
    let gantry = Gantry::new();
    let image = gantry.image("field", &Rootfs::busybox().unwrap(), &roots("true"));
    let place = gantry.beside("noexec");
    fs::create_dir(&place).unwrap();
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c"]).arg(
        "mount -t tmpfs -o noexec none \"$1\" && exec \"$2\" --dir \"$1/gantry\" prepare --image \"$3\" --stage1 \"$4\"",
    );
    command.arg("sh").arg(&place).arg(testing::program("installer")).arg(&image).arg(testing::stage1());
    let output = command.output().unwrap();
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert_says(&said, &["noexec", "--dir"]);
}

/// As of a chroot that was made by copying.
#[root_test]
fn a_root_that_is_no_mount_point_is_named() {
    let gantry = Gantry::new();
    let image = gantry.image("field", &Rootfs::busybox().unwrap(), &roots("true"));
    let pod = gantry.prepare(&[&image], &[]);
    let root = gantry.beside("chroot");
    fs::create_dir_all(root.join("gantry")).unwrap();
    for name in ["proc", "sys", "dev", "tmp", "run"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c"]).arg(
        "mount --rbind \"$1\" \"$2/gantry\" && mount -t proc proc \"$2/proc\" && mount --rbind /sys \"$2/sys\" && \
         mount --rbind /dev \"$2/dev\" && exec chroot \"$2\" \"/gantry/containers/$3/stage1/init\"",
    );
    let id = pod.file_name().unwrap();
    command.arg("sh").arg(gantry.dir()).arg(&root).arg(id).current_dir(&pod);
    let output = command.output().unwrap();
    let said = text(&output.stderr);
    assert_says(&said, &["error"]);
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// Containers and hardened hosts mount /proc so.
#[root_test]
fn a_proc_with_processes_alone_is_named() {
    let gantry = Gantry::new();
    let image = gantry.image("field", &Rootfs::busybox().unwrap(), &roots("true"));
    let pod = gantry.prepare(&[&image], &[]);
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c"]).arg("mount -t proc -o subset=pid proc /proc && exec ./stage1/init");
    let output = command.current_dir(&pod).output().unwrap();
    let said = text(&output.stderr);
    assert_ne!(output.status.code(), Some(0));
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_says(&said, &["/proc", "subset=pid"]);
}

/// A file that can't be read is named.
#[root_test]
fn a_pod_manifest_that_can_not_be_read_is_named() {
    let gantry = Gantry::new();
    for path in ["/", "/none/such.json", "/proc/self/mem"] {
        let output = gantry.installer().args(["prepare", "--pod-manifest", path]).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert_says(&said, &["pod manifest", path]);
    }
}
