// SPDX-License-Identifier: Apache-2.0
//! Something is mounted in what Gantry would remove: it stays with everything in it, and so does the directory around
//! it.
//!
//! The mounted directory is on the same file system, so that only the mount distinguishes it. Each test's thread has a
//! mount namespace of its own, which the programs that it starts share.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use gate::root_test;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use testing::host::own_mounts;
use testing::image::manifest;
use testing::pods::{Gantry, image_id};
use testing::rootfs::{Node, Rootfs};
use testing::state::State;
use testing::tiny::{Tiny, said};

const DEAD: [&str; 2] = ["6733c088-a507-4694-aabf-ae0bc1ccaaff", "7733c088-a507-4694-aabf-ae0bc1ccaaff"];
/// The places in a tree's directory; the first is the directory itself.
const PLACES: [&str; 5] = ["", "tree", "tree/rootfs/etc/below", "tree/rootfs/etc/passwd", "info"];

/// A directory, or the file in it, that is mounted in another place until this value is dropped.
struct Mounted<'a> {
    canary: &'a Path,
    at: PathBuf,
}

impl<'a> Mounted<'a> {
    /// Mounts on the object at this place: a file on a file, a directory on a directory.
    fn new(canary: &'a Path, at: PathBuf) -> Self {
        fs::create_dir_all(canary.join("below")).unwrap();
        fs::write(canary.join("below/file"), "alive").unwrap();
        let what = if at.is_dir() { canary.to_owned() } else { canary.join("below/file") };
        mount(Some(&what), &at, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        Self { canary, at }
    }

    /// Checks that the program failed with one line that names the mount, and left what is mounted.
    fn check_refused(&self, output: &Output) {
        let error = said(&String::from_utf8_lossy(&output.stderr));
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{output:?}");
        self.check_told(&error, "error: ");
    }

    fn check_told(&self, line: &str, kind: &str) {
        let name = format!("{} is a mount point", self.at.display());
        assert!(line.starts_with(kind) && line.contains(&name), "{line:?} should name {name}");
        self.check();
    }

    fn check(&self) {
        assert_eq!(fs::read(self.canary.join("below/file")).unwrap(), b"alive", "{}", self.at.display());
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = umount2(&self.at, MntFlags::MNT_DETACH);
    }
}

fn run(tiny: &Tiny, words: &[&str]) -> Output {
    tiny.installer(words).output().unwrap()
}

fn done(tiny: &Tiny, words: &[&str]) -> String {
    let output = run(tiny, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// For each place, makes a store with two images and mounts something in the first one's tree. What `check` does must
/// leave that tree as it is.
fn in_a_tree(check: impl Fn(&Tiny, &Mounted<'_>, [&str; 2])) {
    for place in PLACES {
        let tiny = Tiny::new();
        let ids = ["tiny", "other"].map(|name| image_id(&tiny.image(name)));
        done(&tiny, &["image", "import", "tiny.aci", "other.aci"]);
        let canary = tiny.path().join("canary");
        let mut at = tiny.dir().join("store/tree-v1").join(&ids[0]);
        at.extend(Some(place).filter(|place| !place.is_empty()));
        let mounted = Mounted::new(&canary, at);
        let before = State::of(&tiny.dir());
        check(&tiny, &mounted, ids.each_ref().map(String::as_str));
        mounted.check();
        let after = State::of(&tiny.dir());
        assert_eq!(after.trees[&ids[0]], before.trees[&ids[0]], "{place}");
        assert!(after.staging.is_empty(), "{place}: {:?}", after.staging);
        drop(mounted);
        assert!(done(&tiny, &["gc"]).contains(&ids[0]), "{place}: it goes once nothing is mounted there");
        assert!(State::of(&tiny.dir()).trees.is_empty(), "{place}");
    }
}

#[root_test]
fn gc_leaves_a_tree_that_something_is_mounted_in_and_takes_the_others() {
    own_mounts();
    in_a_tree(|tiny, mounted, [_, other]| {
        let output = run(tiny, &["gc"]);
        mounted.check_refused(&output);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            format!("removed image {other} example.com/other\n")
        );
    });
}

#[root_test]
fn image_rm_leaves_an_image_that_something_is_mounted_in_and_takes_the_others() {
    own_mounts();
    in_a_tree(|tiny, mounted, [id, other]| {
        if mounted.at.ends_with(id) || mounted.at.ends_with("info") || mounted.at.ends_with("tree") {
            // In these places, the image can't be recognised at all.
            return;
        }
        let output = run(tiny, &["image", "rm", id, other]);
        mounted.check_refused(&output);
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("removed {other}\n"));
    });
}

#[root_test]
fn a_repair_leaves_a_tree_that_something_is_mounted_in_and_renews_the_others() {
    own_mounts();
    in_a_tree(|tiny, mounted, [_, other]| {
        fs::write(tiny.dir().join("store/tree-v1").join(other).join("tree/rootfs/etc/passwd"), "other")
            .unwrap();
        let output = run(tiny, &["verify", "--repair"]);
        mounted.check_refused(&output);
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(out.contains(&format!("{other}: renewed from its file\n")), "{out}");
        assert_eq!(done(tiny, &["verify", other]), format!("{other}: intact\n"));
    });
}

/// The same tar in another file: Gantry learns that its tree is known only when all of it is unpacked.
#[root_test]
fn an_import_replaces_no_tree_that_something_is_mounted_in() {
    own_mounts();
    in_a_tree(|tiny, mounted, _| {
        let again = tiny.path().join("again.gz");
        let mut gzip =
            flate2::write::GzEncoder::new(File::create(&again).unwrap(), flate2::Compression::fast());
        gzip.write_all(&fs::read(tiny.image("tiny")).unwrap()).unwrap();
        gzip.finish().unwrap();
        let output = run(tiny, &["image", "import", again.to_str().unwrap()]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let lines: Vec<_> = error.lines().collect();
        assert!(lines.len() == 2 && lines[0].starts_with("warning: tree "), "{error}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{error}");
        mounted.check_told(lines[1], "error: ");
    });
}

/// For each place, makes two dead directories in staging and mounts something in the first one.
fn in_dead_staging(check: impl Fn(&Tiny, &Mounted<'_>)) {
    for place in ["", "tree", "tree/deep/er", "tree/deep/file"] {
        let tiny = Tiny::new();
        done(&tiny, &["image", "import", "tiny.aci"]);
        for dead in DEAD {
            let tree = tiny.dir().join("staging").join(dead).join("tree/deep");
            fs::create_dir_all(tree.join("er")).unwrap();
            fs::write(tree.join("file"), "").unwrap();
        }
        let canary = tiny.path().join("canary");
        let mut at = tiny.dir().join("staging").join(DEAD[0]);
        at.extend(Some(place).filter(|place| !place.is_empty()));
        let mounted = Mounted::new(&canary, at);
        check(&tiny, &mounted);
        mounted.check();
        assert_eq!(
            State::of(&tiny.dir()).staging,
            [DEAD[0].to_owned()].into(),
            "{place}: the other is swept"
        );
        drop(mounted);
        let deep = tiny.dir().join("staging").join(DEAD[0]).join("tree/deep");
        assert!(
            deep.join("er").is_dir() && deep.join("file").is_file(),
            "{place}: nothing of it was removed"
        );
        assert_eq!(run(&tiny, &["gc"]).status.code(), Some(0));
        assert!(State::of(&tiny.dir()).staging.is_empty(), "{place}");
    }
}

#[root_test]
fn a_mount_in_dead_staging_is_warned_of_and_fails_no_prepare_and_no_import() {
    own_mounts();
    in_dead_staging(|tiny, mounted| {
        for words in [["prepare", "--image", "tiny.aci"], ["image", "import", "other.aci"]] {
            let output = run(tiny, &words);
            let error = said(&String::from_utf8_lossy(&output.stderr));
            assert_eq!((output.status.code(), error.lines().count()), (Some(0), 1), "{output:?}");
            mounted.check_told(&error, "warning: ");
        }
    });
}

#[root_test]
fn a_mount_in_dead_staging_is_an_error_of_what_is_there_to_clean_up() {
    own_mounts();
    let [gc, rm, repair]: [&[&str]; 3] = [&["gc"], &["image", "rm", "tiny.id"], &["verify", "--repair"]];
    for (words, line) in
        [(gc, "removed image TINY example.com/tiny\n"), (rm, "removed TINY\n"), (repair, "TINY: intact\n")]
    {
        in_dead_staging(|tiny, mounted| {
            let output = run(tiny, words);
            mounted.check_refused(&output);
            let line = line.replace("TINY", &image_id(&tiny.image("tiny")));
            assert_eq!(String::from_utf8_lossy(&output.stdout), line, "{words:?}");
        });
    }
}

/// `/init` removes what an earlier start left.
#[root_test]
fn a_start_clears_nothing_that_something_is_mounted_in() {
    own_mounts();
    let gantry = Gantry::new();
    let rootfs = Rootfs::default().with("a", Node::program());
    let image = gantry.image("image", &rootfs, &manifest("image", &["/a"]));
    let pod = gantry.prepare(&[&image], &[]);
    // An earlier start leaves such objects.
    for directory in ["stage1/rkt/status/below", "stage1/etc/systemd/system", "stage1/apps", "work/below"] {
        fs::create_dir_all(pod.join(directory)).unwrap();
    }
    for file in ["stage1/rkt/asked", "stage1/rkt/status/file", "stage1/etc/gantry"] {
        let file = pod.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "").unwrap();
    }
    fs::remove_file(pod.join("stage1/etc/gantry")).unwrap();
    for (place, step) in [
        ("stage1/rkt", 2),
        ("stage1/rkt/status", 2),
        ("stage1/rkt/status/below", 2),
        ("stage1/rkt/status/file", 2),
        ("stage1/etc/systemd/system", 2),
        ("stage1/apps", 2),
        ("work", 3),
        ("work/below", 3),
    ] {
        let canary = gantry.beside("canary");
        let mounted = Mounted::new(&canary, pod.join(place));
        let (code, output) = gantry.start(&pod).wait();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((code, error.lines().count()), (step, 1), "{place}: {error}");
        assert!(error.contains("mount point") && error.contains("expected none"), "{place}: {error}");
        mounted.check();
    }
    gantry.wait_all();
}
