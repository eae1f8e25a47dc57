// SPDX-License-Identifier: Apache-2.0
//! What `prepare` refuses: in one line that names the object, with the right exit code, and with nothing left behind.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use gate::root_test;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use testing::image::{manifest, script};
use testing::pods::{Gantry, assert_says, text};
use testing::rootfs::{Node, Rootfs};
use testing::{program, stage1};

/// Returns a small tree with a program. No test here starts it.
fn rootfs() -> Rootfs {
    let passwd = Node::File(0o644, b"root:x:0:0:::\n".to_vec());
    Rootfs::default().with("etc/passwd", passwd).with("a", Node::program())
}

/// Checks that the command fails with `code`, in one line that contains all of `parts`, and leaves no directory behind.
fn refused(gantry: &Gantry, command: &mut Command, code: i32, parts: &[&str]) {
    let output = command.output().unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{parts:?}: {error}");
    assert_eq!(text(&output.stdout), "", "{parts:?}");
    if code != 2 {
        assert_eq!(error.lines().count(), 1, "{parts:?}: {error}");
        assert!(error.starts_with("error: "), "{error}");
    }
    assert!(!error.chars().any(|c| c.is_control() && c != '\n'), "{error:?}");
    assert_says(&error, parts);
    assert!(!gantry.dir().exists(), "{parts:?}: {:?} is left", gantry.dir());
}

fn prepare(gantry: &Gantry, image: &Path) -> Command {
    gantry.with_images("prepare", &[image], &[])
}

#[root_test]
fn files_that_are_missing_or_are_none() {
    let gantry = Gantry::new();
    let good = gantry.image("good", &rootfs(), &manifest("good", &["/a"]));
    let missing = gantry.beside("no\u{1b}[31msuch.aci");
    refused(&gantry, &mut prepare(&gantry, &missing), 1, &["no\\u{1b}[31msuch.aci"]);
    refused(&gantry, &mut prepare(&gantry, Path::new("/")), 1, &["\"/\"", "regular file"]);
    let mut no_stage1 = prepare(&gantry, &good);
    refused(&gantry, no_stage1.args(["--stage1", "/nonexistent/s.tar.xz"]), 1, &["/nonexistent/s.tar.xz"]);
    let mut no_manifest = prepare(&gantry, &good);
    refused(
        &gantry,
        no_manifest.args(["--pod-manifest", "/nonexistent/pod.json"]),
        1,
        &["/nonexistent/pod.json"],
    );
}

#[root_test]
fn digests_that_do_not_match() {
    let gantry = Gantry::new();
    let good = gantry.image("good", &rootfs(), &manifest("good", &["/a"]));
    let zeros = "0".repeat(64);
    let named = PathBuf::from(format!("{}@sha256-{zeros}", good.display()));
    refused(&gantry, &mut prepare(&gantry, &named), 1, &["good.aci", &zeros, "expected"]);
    let mut stage1_digest = prepare(&gantry, &good);
    refused(&gantry, stage1_digest.args(["--stage1-sha256", &zeros]), 1, &["stage1", &zeros, "expected"]);

    let copy = gantry.beside("stage1.tar.xz");
    fs::copy(stage1(), &copy).unwrap();
    let mut without = prepare(&gantry, &good);
    refused(&gantry, without.arg("--stage1").arg(&copy), 1, &["stage1.tar.xz.sha256"]);
    fs::write(gantry.beside("stage1.tar.xz.sha256"), format!("{zeros}  stage1.tar.xz\n")).unwrap();
    let mut wrong = prepare(&gantry, &good);
    refused(&gantry, wrong.arg("--stage1").arg(&copy), 1, &["stage1.tar.xz", &zeros]);
    // No command has read it before.
    fs::write(&copy, "no archive").unwrap();
    refused(&gantry, &mut wrong, 1, &["stage1.tar.xz", &zeros]);
}

#[root_test]
fn what_is_no_archive_or_damaged() {
    let gantry = Gantry::new();
    let good = fs::read(gantry.image("good", &rootfs(), &manifest("good", &["/a"]))).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&good).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut flipped = good.clone();
    flipped[10] ^= 1;
    let cases: &[(&str, Vec<u8>)] = &[
        ("empty", Vec::new()),
        ("text", b"hello".to_vec()),
        ("cut-gzip", gzip[..gzip.len() - 20].to_vec()),
        ("garbage-after-gzip", [gzip.as_slice(), b"garbage"].concat()),
        ("cut-tar", good[..good.len() - 1024].to_vec()),
        ("cut-entry", good[..700].to_vec()),
        ("garbage-after-tar", [good.as_slice(), b"garbage"].concat()),
        ("checksum", flipped),
    ];
    for (name, bytes) in cases {
        let path = gantry.beside(name);
        fs::write(&path, bytes).unwrap();
        refused(&gantry, &mut prepare(&gantry, &path), 1, &[name]);
    }
}

#[root_test]
fn manifests_that_can_not_run() {
    let change = |change: fn(&mut Value)| {
        let mut manifest = manifest("bad", &["/a"]);
        change(&mut manifest);
        manifest
    };
    let cases: &[(Value, &[&str])] = &[
        (change(|m| m["acKind"] = json!("PodManifest")), &["acKind", "ImageManifest"]),
        (change(|m| m["labels"] = json!([{"name": "arch", "value": "s390x"}])), &["s390x", "amd64"]),
        (change(|m| m["labels"] = json!([{"name": "os", "value": "plan9"}])), &["plan9", "linux"]),
        (change(|m| m["app"] = Value::Null), &["has no app"]),
        (change(|m| m["app"]["user"] = json!("nobody-here")), &["nobody-here", "/etc/passwd"]),
        (change(|m| m["app"]["group"] = json!("nogroup-here")), &["nogroup-here", "/etc/group"]),
        (change(|m| m["app"]["user"] = json!("4294967295")), &["4294967295"]),
        (change(|m| m["app"]["exec"] = json!(["bin/x\u{1b}"])), &["bin/x\\u{1b}", "is not in the image"]),
    ];
    for (manifest, parts) in cases {
        let gantry = Gantry::new();
        let image = gantry.image("bad", &rootfs(), manifest);
        refused(&gantry, &mut prepare(&gantry, &image), 1, parts);
    }
    let gantry = Gantry::new();
    let path = gantry.beside("invalid.aci");
    rootfs().write_image(b"{\"acKind\": 1,,}", File::create(&path).unwrap()).unwrap();
    refused(&gantry, &mut prepare(&gantry, &path), 1, &["invalid.aci", "JSON"]);
}

#[root_test]
fn archives_that_are_no_images() {
    let gantry = Gantry::new();
    let entry = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_path(name).unwrap();
        header.set_cksum();
        (header, content.to_vec())
    };
    let good = manifest("a", &["/a"]).to_string();
    type Entries = Vec<(tar::Header, Vec<u8>)>;
    let cases: &[(&str, Entries, &str)] = &[
        ("no-manifest", vec![], "manifest"),
        ("no-rootfs", vec![entry("manifest", good.as_bytes())], "rootfs"),
        ("beside", vec![entry("manifest", good.as_bytes()), entry("other", b"")], "other"),
        ("replaced", vec![entry("manifest", good.as_bytes()), entry("./manifest", b"")], "rootfs"),
    ];
    for (name, entries, part) in cases {
        let path = gantry.beside(name);
        let mut tar = tar::Builder::new(File::create(&path).unwrap());
        entries.iter().for_each(|(header, content)| tar.append(header, content.as_slice()).unwrap());
        tar.into_inner().unwrap();
        refused(&gantry, &mut prepare(&gantry, &path), 1, &[name, part]);
    }
}

#[root_test]
fn two_apps_of_one_name() {
    let gantry = Gantry::new();
    let first = gantry.image("first", &rootfs(), &manifest("same", &["/a"]));
    let second = gantry.image("second", &rootfs(), &manifest("same", &["/b"]));
    let mut both = gantry.with_images("prepare", &[&first, &second], &[]);
    refused(&gantry, &mut both, 1, &["same", "first.aci", "second.aci"]);
}

#[root_test]
fn volumes_whose_source_is_missing() {
    let gantry = Gantry::new();
    let mut image = manifest("volume", &["/a"]);
    image["app"]["mountPoints"] = json!([{"name": "data", "path": "/data"}]);
    let image = gantry.image("volume", &rootfs(), &image);
    let mut command = prepare(&gantry, &image);
    refused(
        &gantry,
        command.args(["--volume", "data,kind=host,source=/nonexistent/x"]),
        1,
        &["/nonexistent/x"],
    );
}

#[root_test]
fn directories_that_can_not_be_written() {
    let gantry = Gantry::new();
    let image = gantry.image("good", &rootfs(), &manifest("good", &["/a"]));
    let mut command = Command::new(program("installer"));
    command
        .env_clear()
        .env("GANTRY_STAGE1", stage1())
        .args(["--dir", "/proc/gantry", "prepare", "--image"])
        .arg(&image);
    refused(&gantry, &mut command, 1, &["/proc/gantry"]);
    let file = gantry.beside("file");
    fs::write(&file, "").unwrap();
    let mut command = Command::new(program("installer"));
    command
        .env_clear()
        .env("GANTRY_STAGE1", stage1())
        .arg("--dir")
        .arg(&file)
        .args(["prepare", "--image"])
        .arg(&image);
    refused(&gantry, &mut command, 1, &["file"]);
}

#[root_test]
fn a_full_disk() {
    // In a mount namespace of its own, so that the small tmpfs is visible nowhere else and goes with it.
    let gantry = Gantry::new();
    let image = gantry.image("good", &Rootfs::busybox().unwrap(), &script("good", "exit 0"));
    let full = gantry.beside("full");
    fs::create_dir(&full).unwrap();
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c"]).arg(
        "mount -t tmpfs -o size=4m none \"$1\" && \"$2\" --dir \"$1/gantry\" prepare --image \"$3\" --stage1 \"$4\"; \
         code=$?; test -z \"$(ls -A \"$1\")\" || echo left; exit $code",
    );
    command.arg("sh").arg(&full).arg(program("installer")).arg(&image).arg(stage1());
    refused(&gantry, &mut command, 1, &["No space left on device"]);
}

#[root_test]
fn callers_that_are_not_root() {
    let gantry = Gantry::new();
    let image = gantry.image("good", &rootfs(), &manifest("good", &["/a"]));
    // In a place where another user can execute it.
    let public = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(&public, PermissionsExt::from_mode(0o755)).unwrap();
    let copy = public.path().join("installer");
    fs::copy(program("installer"), &copy).unwrap();
    for (subcommand, code) in [("prepare", 1), ("run", 254)] {
        let mut command = Command::new(&copy);
        command.uid(65534).gid(65534).env_clear().arg("--dir").arg(gantry.dir());
        refused(&gantry, command.arg(subcommand).arg("--image").arg(&image), code, &["root"]);
    }
}

#[test]
fn wrong_usage() {
    let gantry = Gantry::new();
    let cases: &[&[&str]] = &[
        &[],
        &["prepare"],
        &["prepare", "--image"],
        &["prepare", "--image", "a@sha256-12"],
        &["prepare", "--image", "a", "--volume", "data"],
        &["prepare", "--image", "a", "--stage1-sha256", "x"],
        &["prepare", "--image", "a", "--unknown"],
        &["run"],
        &["run", "pod", "--image", "a"],
        &["unknown"],
    ];
    for arguments in cases {
        refused(&gantry, gantry.installer().args(*arguments), 2, &["--help"]);
    }
}

#[root_test]
fn run_fails_with_254() {
    let gantry = Gantry::new();
    let missing = gantry.beside("missing.aci");
    refused(&gantry, &mut gantry.with_images("run", &[&missing], &[]), 254, &["missing.aci"]);
    let id = "6733c088-a507-4694-aabf-ae0bc1ccaaff";
    refused(&gantry, gantry.installer().args(["run", id]), 254, &[id]);
}

#[test]
fn help_is_there_for_everything() {
    let output =
        |arguments: &[&str]| -> Output { Gantry::new().installer().args(arguments).output().unwrap() };
    for arguments in [&["--help"][..], &["prepare", "--help"], &["run", "--help"]] {
        let help = output(arguments);
        assert_eq!((help.status.code(), text(&help.stderr).as_str()), (Some(0), ""));
        insta::assert_snapshot!(arguments.join(" "), text(&help.stdout));
    }
    assert!(text(&output(&["--version"]).stdout).starts_with("installer "));
}

#[root_test]
fn dead_staging_is_swept_and_living_is_not() {
    let gantry = Gantry::new();
    let image = gantry.image("good", &rootfs(), &manifest("good", &["/a"]));
    let staging = gantry.dir().join("staging");
    let dead = staging.join("11111111-2222-4333-8444-555555555555");
    fs::create_dir_all(dead.join("stage1/sealed")).unwrap();
    fs::set_permissions(&staging, PermissionsExt::from_mode(0o700)).unwrap();
    symlink("/", dead.join("stage1/link")).unwrap();
    fs::set_permissions(dead.join("stage1/sealed"), PermissionsExt::from_mode(0o000)).unwrap();
    let living = staging.join("22222222-2222-4333-8444-555555555555");
    fs::create_dir(&living).unwrap();
    let lock =
        nix::fcntl::Flock::lock(File::open(&living).unwrap(), nix::fcntl::FlockArg::LockExclusive).unwrap();
    gantry.prepare(&[&image], &[]);
    assert!(!dead.exists() && living.exists());
    drop(lock);
    gantry.prepare(&[&image], &[]);
    assert_eq!(fs::read_dir(staging).unwrap().count(), 0);
    assert_eq!(gantry.pods().len(), 2);
}

/// Starts to prepare a large image, and sends the signal once there is something in staging.
fn interrupted(gantry: &Gantry, signal: Signal) -> Output {
    let big = rootfs().with("big", Node::File(0o644, vec![7; 300 << 20]));
    let image = gantry.image("big", &big, &manifest("big", &["/a"]));
    let mut child = prepare(gantry, &image).stderr(Stdio::piped()).spawn().unwrap();
    let staging = gantry.dir().join("staging");
    while fs::read_dir(&staging).map_or(0, Iterator::count) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it was done before it was interrupted");
        std::thread::yield_now();
    }
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
    child.wait_with_output().unwrap()
}

#[root_test]
fn an_interrupted_prepare_leaves_nothing() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let gantry = Gantry::new();
        let output = interrupted(&gantry, signal);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        assert_eq!(text(&output.stderr).lines().count(), 1);
        assert!(!gantry.dir().exists());
    }
}

#[root_test]
fn a_killed_prepare_leaves_what_the_next_sweeps() {
    let gantry = Gantry::new();
    interrupted(&gantry, Signal::SIGKILL);
    assert_eq!(gantry.pods().len(), 0, "what is not whole is no pod");
    let staging = gantry.dir().join("staging");
    assert_eq!(fs::read_dir(&staging).unwrap().count(), 1);
    let image = gantry.image("good", &rootfs(), &manifest("good", &["/a"]));
    gantry.prepare(&[&image], &[]);
    assert_eq!((gantry.pods().len(), fs::read_dir(&staging).unwrap().count()), (1, 0));
}
