// SPDX-License-Identifier: Apache-2.0
//! Hostile archives, prepared as a person would: refused in one line, with nothing on the host changed, nothing
//! published, no staging left; and the next run works. The single tricks of archives are tested where they are unpacked
//! (`crates/image/tests/hostile`).

#[path = "../../../../../crates/image/tests/hostile/canary.rs"]
mod canary;
mod limits;
mod meaning;
mod size;
#[path = "../../../../../crates/image/tests/hostile/writer.rs"]
pub(crate) mod writer;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use canary::Canary;
use gate::root_test;
use pod::layout;
use serde_json::Value;
use testing::image::manifest;
use testing::pods::{Gantry, assert_says};
use testing::rootfs::Node;
use writer::Tar;

/// The data directory with a pod in it, and a canary.
struct Ground {
    gantry: Gantry,
    canary: Canary,
    outside: PathBuf,
}

/// The number of objects in the data directory.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    pods: usize,
    staging: usize,
    trees: usize,
    names: usize,
}

impl Ground {
    fn new() -> Self {
        let gantry = Gantry::new();
        let outside = gantry.beside("outside");
        fs::create_dir(&outside).unwrap();
        let canary = Canary::new(&outside, "none");
        let ground = Self { gantry, canary, outside };
        ground.accept(&ground.image("first", &good()));
        ground
    }

    /// Writes an image's file.
    fn image(&self, name: &str, file: &[u8]) -> PathBuf {
        let path = self.gantry.beside(name);
        fs::write(&path, file).unwrap();
        path
    }

    /// Checks that it can be prepared, which makes one pod and leaves no staging.
    #[track_caller]
    fn accept(&self, image: &Path) {
        let before = self.gantry.pods().len();
        self.gantry.prepare(&[image], &[]);
        let left = self.left();
        assert_eq!((left.pods, left.staging), (before + 1, 0));
    }

    fn left(&self) -> Left {
        let count = |name| fs::read_dir(self.gantry.dir().join(name)).map_or(0, Iterator::count);
        Left {
            pods: self.gantry.pods().len(),
            staging: count(layout::STAGING),
            trees: count(layout::TREES),
            names: count(layout::ALIASES),
        }
    }

    /// Checks that the image is refused.
    #[track_caller]
    fn refuse(&self, image: &Path, parts: &[&str]) {
        self.refuse_run(&mut self.gantry.with_images("prepare", &[image], &[]), 1, parts);
    }

    /// Checks that the command fails with this code and one line that contains all of `parts`, and changes nothing.
    #[track_caller]
    fn refuse_run(&self, command: &mut Command, code: i32, parts: &[&str]) {
        let before = self.left();
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{parts:?}: {error}");
        assert!(error.starts_with("error: "), "{error}");
        assert!(code == 2 || error.lines().count() == 1, "{error:?}");
        assert!(!error.chars().any(|c| c.is_control() && c != '\n'), "{error:?}");
        assert!(output.stdout.is_empty());
        assert_says(&error, parts);
        assert_eq!(self.left(), before, "something was published or left");
        self.canary.check();
    }
}

/// Returns an image with this manifest. Its program can't run, and is not started.
fn with_manifest(manifest: &[u8]) -> Tar {
    Tar::default().file("manifest", manifest).directory("rootfs", 0o755).entry(
        b"rootfs/a",
        b'0',
        &Node::program_file(),
        |header| header.set_mode(0o755),
    )
}

fn of(manifest: &Value) -> Vec<u8> {
    with_manifest(manifest.to_string().as_bytes()).end()
}

fn good() -> Vec<u8> {
    of(&manifest("good", &["/a"]))
}

#[root_test]
fn cases_01_to_12_through_the_program() {
    let ground = Ground::new();
    let image = || with_manifest(manifest("bad", &["/a"]).to_string().as_bytes());
    let outside = |name: &str| ground.outside.join(name).to_str().unwrap().to_owned();
    let upwards = |name: &str| format!("../../../../../../../outside/{name}");
    let linked = |target: &str| image().pax(&[("linkpath", target.as_bytes())]).symlink("rootfs/l", "x");
    let cases: Vec<(&str, Tar, &str)> = vec![
        ("01", linked(&outside("canary.d")).file("rootfs/l/x", b"evil"), "rootfs/l/x"),
        ("02", linked(&upwards("canary.d")).file("rootfs/l/sub/file", b"evil"), "rootfs/l/sub/file"),
        ("03", linked(&outside("canary.d")).directory("rootfs/l/sub", 0o777), "rootfs/l/sub"),
        ("04", image().hard_link("rootfs/h", &upwards("canary")), "rootfs/h"),
        ("04b", linked(&upwards("")).hard_link("rootfs/h", "rootfs/l/canary"), "rootfs/h"),
        ("06", image().file("rootfs/a/../../x", b"evil"), "rootfs/a/../../x"),
        ("07", image().file("/etc/x", b"evil"), "etc/x"),
        ("08", Tar::default().symlink("./", "/"), "root"),
        ("09", image().symlink("rootfs", "/"), "rootfs"),
        ("10", Tar::default().symlink("manifest", "/etc/passwd"), "manifest"),
        ("11", image().file("./manifest", b"{"), "manifest"),
        ("12", image().special("rootfs/w", b'3', 0, 0), "rootfs/w"),
        (
            "20",
            image().pax(&[("SCHILY.xattr.trusted.overlay.opaque", b"y")]).file("rootfs/x", b""),
            "extended header \"pax\"",
        ),
    ];
    for (name, tar, entry) in cases {
        let name = format!("case-{name}.aci");
        ground.refuse(&ground.image(&name, &tar.end()), &[&name, entry]);
    }
    // The last of two entries wins: in the place of a link or of a file with two names, not through it.
    let over_link = linked(&outside("canary")).file("rootfs/l", b"own");
    let over_file = image().hard_link("rootfs/h", "rootfs/a").file("rootfs/h", b"own");
    for (name, tar) in [("01b.aci", over_link), ("05.aci", over_file)] {
        ground.accept(&ground.image(name, &tar.end()));
    }
    ground.accept(&ground.image("after", &good()));
}

#[root_test]
fn metadata_does_not_depend_on_the_callers_umask() {
    use std::os::unix::fs::PermissionsExt as _;
    for umask in ["000", "077", "777"] {
        let ground = Ground::new();
        let image = with_manifest(manifest("good", &["/a"]).to_string().as_bytes())
            .entry(b"rootfs/open", b'0', b"", |header| header.set_mode(0o6777))
            .directory("rootfs/d", 0o1777)
            .file("rootfs/implied/file", b"")
            .special("rootfs/fifo", b'6', 0, 0);
        let image = ground.image("umask.aci", &image.end());
        let prepare = ground.gantry.with_images("prepare", &[&image], &["--layout", "copy"]);
        let mut shell = Command::new("/bin/sh");
        shell.env_clear().envs(prepare.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.args(["-c", "umask \"$1\"; shift; exec \"$@\"", "sh", umask]).arg(prepare.get_program());
        let output = shell.args(prepare.get_args()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let pod = String::from_utf8(output.stdout).unwrap();
        let images = fs::read_dir(Path::new(pod.trim_end()).join("stage1/opt/stage2")).unwrap();
        let rootfs = images.last().unwrap().unwrap().path().join("rootfs");
        for (name, mode) in
            [("open", 0o6777), ("d", 0o1777), ("implied", 0o755), ("fifo", 0o644), ("a", 0o755)]
        {
            let found = rootfs.join(name).symlink_metadata().unwrap().permissions().mode() & 0o7777;
            assert_eq!(found, mode, "{name} with umask {umask}");
        }
    }
}
