// SPDX-License-Identifier: Apache-2.0
//! What confines an app to its root, away from the pod's and the host's: each test is an attack.

use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use gate::root_test;
use nix::fcntl::{OFlag, open};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use serde_json::json;
use testing::image::{manifest, script};
use testing::launcher::Launcher;
use testing::pods::{Gantry, image_sha512, status, text};
use testing::rootfs::{Node, Rootfs};

/// Writes a busybox tree to disk.
fn tree(gantry: &Gantry) -> PathBuf {
    let image = gantry.image("tree", &Rootfs::busybox().unwrap(), &script("tree", "exit 0"));
    let images = gantry.prepare(&[&image], &["--layout", "copy"]).join("stage1/opt/stage2");
    fs::read_dir(images).unwrap().next().unwrap().unwrap().path().join("rootfs")
}

/// An app must not be started whose working directory or program's interpreter is below /proc/PID/root, where PID is a
/// launcher that is not in its app's root yet: that root is the pod's.
#[root_test]
fn no_link_of_proc_leads_a_launcher_into_the_pods_root() {
    let gantry = Gantry::new();
    let root = tree(&gantry);
    let early = Launcher::start(&root, &File::create(gantry.beside("early")).unwrap());
    let pods_root = format!("/proc/{}/root", early.id());
    symlink(&pods_root, root.join("w")).unwrap();
    // The kernel looks up a script's interpreter, whatever the launcher has checked before.
    fs::write(root.join("script"), format!("#!/w{}/bin/sh\necho out\n", Launcher::ROOT)).unwrap();
    fs::set_permissions(root.join("script"), Permissions::from_mode(0o755)).unwrap();

    symlink("/proc/self/root", root.join("self")).unwrap();
    let directory =
        |path, error| format!("cannot enter its working directory \"{path}\": openat2 \"{path}\": {error}");
    let denied = "Permission denied (os error 13)";
    let circle = "Symbolic link loop (os error 40)";
    for (directory, program, error) in [
        ("/", "/bin/true", None),
        ("/w", "/bin/true", Some(directory("/w", denied))),
        ("/self", "/bin/true", Some(directory("/self", circle))),
        (
            "/",
            "/proc/self/exe",
            Some("cannot run \"/proc/self/exe\": it leads through a link of /proc's, or in a circle".into()),
        ),
        ("/", "/script", Some("cannot run \"/script\": EACCES: Permission denied".into())),
    ] {
        let (code, said) = match error {
            Some(error) => (126, format!("error: app a: {error}\n")),
            None => (0, String::new()),
        };
        let output = gantry.beside("output");
        let launcher = Launcher::start(&root, &File::create(&output).unwrap());
        let launch = json!({
            "app": "a", "root": Launcher::ROOT, "exec": [program], "directory": directory, "environment": {},
            "users": "shared", "user": Launcher::USER, "group": Launcher::USER,
        });
        let ended = launcher.launch(&launch);
        let found = (ended.unwrap(), fs::read_to_string(output).unwrap());
        assert_eq!(found, (code, said), "{program} in {directory}");
    }
    drop(early);
}

/// The environment is the only place for secrets that a manifest has.
#[root_test]
fn what_apps_are_started_with_is_roots_alone() {
    let gantry = Gantry::new();
    let image = gantry.image("secret", &Rootfs::busybox().unwrap(), &script("secret", "exit 0"));
    assert_eq!(gantry.run(&[&image]).status.code(), Some(0));
    let file = gantry.pod().join("stage1/etc/gantry/launch/app-secret");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o7777, 0o600);
}

/// A program in /proc is not the image's, but for example the pod's own: /proc/self/exe.
#[test]
fn no_program_is_in_proc() {
    let gantry = Gantry::new();
    let decoy = Node::File(0o755, b"#!/bin/sh".to_vec());
    let rootfs = Rootfs::busybox().unwrap().with("proc/self/exe", decoy).with("x", Node::Link("proc".into()));
    for program in ["/proc/self/exe", "/x/../x/self/exe"] {
        let image = gantry.image("decoy", &rootfs, &manifest("decoy", &[program]));
        let output = gantry.with_images("prepare", &[&image], &[]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
        assert!(error.contains(program) && error.contains("is the kernel's"), "{error}");
    }
}

/// The next start executes what is in stage1 on the host, so nothing in the pod may write to it, by whatever path.
#[root_test]
fn stage1_is_read_only_in_the_pod() {
    let gantry = Gantry::new();
    let waits = script("waits", "trap 'exit 0' TERM; echo up; while :; do sleep 3600 & wait; done");
    let image = gantry.image("waits", &Rootfs::busybox().unwrap(), &waits);
    let pod = gantry.prepare(&[&image], &[]);
    let mut running = gantry.start(&pod);
    running.wait_for("up");
    let root = PathBuf::from(format!("/proc/{}/root", running.systemd()));
    assert!(root.join("init").exists());
    for directory in ["", "etc", "etc/gantry/launch", "etc/systemd/system", "opt/stage2", "rkt", "apps"] {
        let error = fs::write(root.join(directory).join("new"), "").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem, "{directory}: {error}");
    }
    let init = fs::set_permissions(root.join("init"), Permissions::from_mode(0o777)).unwrap_err();
    assert_eq!(init.kind(), ErrorKind::ReadOnlyFilesystem);
    let own = fs::metadata(root.join("run/gantry")).unwrap();
    assert_eq!(own.permissions().mode() & 0o7777, 0o755, "what is not read-only is root's");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().0, 0);
    assert_eq!(status(&pod, "waits"), 0);
}

/// A function that stage1 leaves out would end the pod's systemd. With CAP_SYS_MODULE, systemd loads the kernel modules that it
/// wants, which no other pod has it do.
#[root_test]
fn a_pod_of_an_app_with_every_capability_calls_nothing_that_stage1_leaves_out() {
    let gantry = Gantry::new();
    let image = gantry.image("all", &Rootfs::busybox().unwrap(), &script("all", "exit 7"));
    for users in ["--userns=own", "--userns=host"] {
        let pod = gantry.prepare(&[&image], &["--cap-add", "ALL", users]);
        let output = gantry.start(&pod).wait().1;
        assert_eq!(status(&pod, "all"), 7, "{users}: {}", text(&output.stderr));
    }
}

/// An app that is root can change its tree so that a volume's target leads elsewhere at the pod's next start: to its
/// root, where the mount points for /proc, /sys and /dev would be made on the host.
#[root_test]
fn a_volumes_target_that_leads_elsewhere_by_now_is_refused() {
    let gantry = Gantry::new();
    let (data, other) = (gantry.beside("data"), gantry.beside("other"));
    fs::create_dir(&data).unwrap();
    fs::create_dir(&other).unwrap();
    let volume = |name: &str, source: &PathBuf| format!("{name},kind=host,source={}", source.display());
    let volumes = ["--volume", &volume("data", &data), "--volume", &volume("other", &other)];
    for (leads, error) in [
        ("/", "a mount at \"/\" would hide the app: expected a path below it"),
        ("/proc", "mount at \"/proc\": /proc is the pod's own; expected another place"),
        ("/other", "mounts at \"/other\" and \"/other\" overlap: expected distinct places"),
    ] {
        let change = format!("mv /a /b && mkdir /a && ln -s {leads} /a/data");
        let mut image = manifest("mover", &["/usr/bin/busybox", "sh", "-c", &change]);
        image["app"]["mountPoints"] =
            json!([{"name": "data", "path": "/a/data"}, {"name": "other", "path": "/other"}]);
        let image = gantry.image("mover", &Rootfs::busybox().unwrap(), &image);
        let pod = gantry.prepare(&[&image], &volumes);
        assert_eq!(gantry.start(&pod).wait().0, 0);
        let (code, output) = gantry.start(&pod).wait();
        let said = String::from_utf8(output.stderr).unwrap();
        let expected =
            format!("error: root of app mover: volumes, in the app's tree as it is now: {error}\n");
        assert_eq!((code, said), (3, expected));
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
    }
}

/// A directory of the host on stdin, stdout or stderr would be a way out of every app's root.
#[root_test]
fn no_directory_is_an_apps_stdio() {
    let gantry = Gantry::new();
    let image = gantry.image("reads", &Rootfs::busybox().unwrap(), &script("reads", "ls /proc/self/fd/0/"));
    let pod = gantry.prepare(&[&image], &[]);
    for flags in [OFlag::O_DIRECTORY, OFlag::O_PATH] {
        let stdin = open(if flags == OFlag::O_PATH { "/etc/hostname" } else { "/etc" }, flags, Mode::empty());
        let output = Command::new("./stage1/init").current_dir(&pod).stdin(stdin.unwrap()).output().unwrap();
        let expected =
            "error: stdin is a directory or can't be used: expected a file, a pipe, a socket or a terminal\n";
        assert_eq!(
            (output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()),
            (Some(1), expected)
        );
    }
}

/// A start names what an earlier run has changed in an app's tree, and fails no more than it must.
#[root_test]
fn a_changed_tree_is_named_when_the_pod_starts_again() {
    let changed =
        "expected a directory, or nothing, in the app's tree, which an earlier run may have changed";
    let failed = |path: &str, error: &str| format!("error: root of app vandal: {path}: {changed}: {error}\n");
    let directory = "warning: app vandal has not the host's time zone: /etc/localtime: unlinkat \"localtime\": Is a directory (os error 21)\n";
    let missing = "openat2 \"etc\": No such file or directory (os error 2)";
    for (change, code, said) in [
        ("rm -r /tmp; touch /tmp", 3, failed("/tmp: /tmp", "openat2 \"tmp\": Not a directory (os error 20)")),
        ("mv /etc /x; ln -s /nowhere /etc", 3, failed("/etc/hosts: /etc", missing)),
        ("rm -f /etc/localtime; mkdir /etc/localtime", 0, directory.into()),
    ] {
        let gantry = Gantry::new();
        let once = format!("[ -e /done ] || {{ touch /done; {change}; }}");
        let image = manifest("vandal", &["/usr/bin/busybox", "sh", "-c", &once]);
        let image = gantry.image("vandal", &Rootfs::busybox().unwrap(), &image);
        let pod = gantry.prepare(&[&image], &[]);
        assert_eq!(gantry.start(&pod).wait().0, 0, "{change}");
        let (found, output) = gantry.start(&pod).wait();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(found == code && stderr.ends_with(&said), "{change}: {found}, {stderr}, not {said}");
    }
}

#[root_test]
fn a_link_in_place_of_a_mount_is_a_failed_start() {
    let gantry = Gantry::new();
    let image = gantry.image("link", &Rootfs::busybox().unwrap(), &script("link", "exit 0"));
    let pod = gantry.prepare(&[&image], &["--layout", "copy"]);
    let root = pod.join("stage1/opt/stage2").join(image_sha512(&image)).join("rootfs");
    symlink("tmp", root.join("sys")).unwrap();
    for (arguments, code) in [([].as_slice(), 3), (&["--failure-code=254"], 254)] {
        let output = Command::new("./stage1/init").args(arguments).current_dir(&pod).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let error =
            "error: root of app link: cannot open /sys: openat2 \"sys\": Symbolic link loop (os error 40)\n";
        assert_eq!((output.status.code(), said.as_str()), (Some(code), error));
    }
    gantry.wait_all();
}

/// The pod's first process says so: there is no systemd that could.
#[root_test]
fn a_pod_without_systemd_is_a_failed_start() {
    let gantry = Gantry::new();
    let image = gantry.image("early", &Rootfs::busybox().unwrap(), &script("early", "echo never"));
    let pod = gantry.prepare(&[&image], &["--layout", "copy"]);
    fs::remove_file(pod.join("stage1/usr/lib/systemd/systemd")).unwrap();
    for (arguments, code) in [([].as_slice(), 5), (&["--failure-code=254"], 254)] {
        let output = Command::new("./stage1/init").args(arguments).current_dir(&pod).output().unwrap();
        let said = (text(&output.stdout), text(&output.stderr));
        let error = "error: cannot execute /usr/lib/systemd/systemd: ENOENT: No such file or directory\n";
        assert_eq!((output.status.code(), said), (Some(code), (String::new(), error.to_owned())));
    }
    gantry.wait_all();
}
