// SPDX-License-Identifier: Apache-2.0
//! Pods where overlays can't be made, or are not wanted.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use gate::root_test;
use nix::mount::{MsFlags, mount, umount};
use pod::layout;
use serde_json::json;
use testing::image::manifest;
use testing::pods::{Gantry, image_id, image_sha512, status};
use testing::rootfs::{Node, Rootfs};
use testing::state::State;
use testing::tiny::Tiny;
use testing::trees;

use super::refused;

/// Prepares two apps of one image. Each must find its own root as the image has it.
fn two_apps(gantry: &Gantry) -> (std::path::PathBuf, std::path::PathBuf) {
    let script = "test ! -e /mine || exit 7; echo $AC_APP_NAME > /mine; cat /mine";
    let busybox = Rootfs::busybox().unwrap();
    let file = gantry.image("pair", &busybox, &manifest("pair", &["/bin/sh", "-c", script]));
    let app = |name: &str| json!({"name": name, "image": {"id": image_id(&file)}});
    let pod = json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": [app("one"), app("two")]});
    let path = gantry.beside("pod.json");
    fs::write(&path, pod.to_string()).unwrap();
    (file, path)
}

fn prepare(gantry: &Gantry, layout: &str) -> (std::path::PathBuf, String) {
    let (file, pod) = two_apps(gantry);
    prepare_of(gantry, &file, &pod, layout)
}

fn prepare_of(gantry: &Gantry, file: &Path, pod: &Path, layout: &str) -> (std::path::PathBuf, String) {
    let arguments = ["--pod-manifest", pod.to_str().unwrap(), "--layout", layout];
    let output = gantry.with_images("prepare", &[file], &arguments).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{error}");
    (Path::new(String::from_utf8(output.stdout).unwrap().trim()).to_owned(), error)
}

fn runs(gantry: &Gantry, pod: &Path) {
    let (code, output) = gantry.start(pod).wait();
    assert_eq!(code, 0, "{output:?}");
    assert_eq!((status(pod, "one"), status(pod, "two")), (0, 0));
    gantry.wait_all();
}

#[root_test]
fn a_pod_of_copies_needs_no_store() {
    let gantry = Gantry::new();
    let (pod, said) = prepare(&gantry, "copy");
    assert!(said.starts_with("layout: copies"), "{said}");
    fs::remove_dir_all(gantry.dir().join("store")).unwrap();
    runs(&gantry, &pod);
}

/// A copy has every object of the trees, of any type, and otherwise only the directories that lead to the image.
#[root_test]
fn a_copy_is_what_it_was_copied_from() {
    let tiny = Tiny::new();
    let prepare = tiny.installer(&["prepare", "--image", "tiny.aci", "--layout", "copy"]).output().unwrap();
    assert!(prepare.status.success(), "{}", String::from_utf8_lossy(&prepare.stderr));
    let image = image_id(&tiny.image("tiny"));
    let pod = String::from_utf8(prepare.stdout).unwrap();
    let mut copy = trees::look(&Path::new(pod.trim()).join("stage1")).unwrap();
    let of_image = layout::image(&image_sha512(&tiny.image("tiny")).parse().unwrap());
    for (id, tree) in State::of(&tiny.dir()).trees {
        let place = if id == image { Path::new(&of_image) } else { Path::new("") };
        for (path, mut object) in tree {
            let Ok(path) = path.strip_prefix("tree") else { continue };
            // Joined to an empty path, it would end in a slash.
            let path: PathBuf = place.iter().chain(path).collect();
            if Path::new(&of_image).parent().is_some_and(|above| above.starts_with(&path)) {
                // The image was added to it.
                object.modified = None;
            }
            assert_eq!(copy.remove(&path), Some(object), "{}", path.display());
        }
    }
    assert!(copy.keys().all(|path| Path::new(&of_image).starts_with(path)), "{copy:?}");
}

#[root_test]
fn overlays_are_what_is_made_where_they_can_be() {
    let gantry = Gantry::new();
    let (pod, said) = prepare(&gantry, "auto");
    assert_eq!(said, "layout: overlays\n");
    assert!(!pod.join("stage1/usr").exists(), "stage1's programs are in the store alone");
    runs(&gantry, &pod);
}

/// An overlay can't hold the changes of another overlay. Usually this is a DIR inside of a container.
#[root_test]
fn where_overlays_can_not_be_made_trees_are_copied() {
    let gantry = Gantry::new();
    let over = OnOverlay::new(&gantry);
    let (file, pod) = two_apps(&gantry);
    let arguments = ["--pod-manifest", pod.to_str().unwrap()];
    let output = gantry.with_images("prepare", &[&file], &arguments).output().unwrap();
    refused(&output, &["can't map ids", "--userns=host"]);
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&pod).unwrap()).unwrap();
    manifest["annotations"] = serde_json::json!([{"name": "gantry/users", "value": "host"}]);
    fs::write(&pod, manifest.to_string()).unwrap();
    let (prepared, said) = prepare_of(&gantry, &file, &pod, "auto");
    let lines: Vec<_> = said.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with("warning: no overlays here") && lines[1] == "layout: copies",
        "{said}"
    );
    runs(&gantry, &prepared);
    let arguments = ["--pod-manifest", pod.to_str().unwrap(), "--layout", "overlay"];
    let output = gantry.with_images("prepare", &[&file], &arguments).output().unwrap();
    refused(&output, &["no overlays here", "--layout copy"]);
    drop(over);
}

#[root_test]
fn a_copy_shares_its_content_where_the_file_system_can() {
    let gantry = Gantry::new();
    let disk = Disk::new(&gantry, &XFS);
    let (pod, said) = prepare(&gantry, "copy");
    assert_eq!(said, "layout: copies by reflink\n");
    runs(&gantry, &pod);
    drop(disk);
}

/// The sizes of the files that images share: one of several pieces, one with a tail, one that is too small to be looked for.
const SIZES: [(&str, usize); 3] = [("large", 20 << 20), ("tail", 100_001), ("small", 4000)];

/// Makes an image that has these files and one of its own, and others than any other image.
fn sharing(gantry: &Gantry, name: &str, path: &str) -> PathBuf {
    let mut rootfs = Rootfs::busybox().unwrap();
    for (number, (file, size)) in SIZES.into_iter().enumerate() {
        // No block is like another one, and none is zeros.
        let content =
            (0..size / 8 + 1).flat_map(|at| ((at << 2 | number) as u64 ^ 0x5A5A_0000_A5A5).to_le_bytes());
        let content: Vec<_> = content.take(size).collect();
        rootfs = rootfs.with(&format!("{path}/{file}"), Node::File(0o644, content));
    }
    rootfs = rootfs.with("etc/name", Node::File(0o644, name.into()));
    gantry.image(name, &rootfs, &manifest(name, &["/bin/true"]))
}

fn import(gantry: &Gantry, file: &Path) -> PathBuf {
    let output = gantry.installer().args(["image", "import"]).arg(file).output().unwrap();
    let (id, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && error.is_empty(), "{error}");
    gantry.dir().join(layout::TREES).join(id.trim_end()).join("tree/rootfs")
}

/// Returns how many bytes of the file system are used, once all is written.
fn used(gantry: &Gantry) -> u64 {
    let output = Command::new("sync").arg("-f").arg(gantry.dir()).output().unwrap();
    assert!(output.status.success());
    let stat = nix::sys::statvfs::statvfs(&gantry.dir()).unwrap();
    (stat.blocks() - stat.blocks_free()) * stat.fragment_size()
}

#[root_test]
fn images_share_the_blocks_of_files_that_are_equal_where_the_file_system_can() {
    let all: u64 = SIZES.iter().map(|(_, size)| *size as u64).sum();
    for (kind, shares) in [(&XFS, true), (&EXT4, false)] {
        let gantry = Gantry::new();
        let disk = Disk::new(&gantry, kind);
        // Elsewhere, with another time and owner, and among other files.
        let one = import(&gantry, &sharing(&gantry, "one", "usr/share"));
        let before = used(&gantry);
        let two = import(&gantry, &sharing(&gantry, "two", "opt/data"));
        let grown = used(&gantry).saturating_sub(before);
        assert_eq!(grown < all / 4, shares, "{kind:?}: {grown} bytes more for {all} that are there");
        for (name, _) in SIZES {
            let [one, two] = [one.join("usr/share"), two.join("opt/data")].map(|path| path.join(name));
            assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap(), "{name}");
            let [one, two] = [one, two].map(|path| fs::metadata(path).unwrap());
            assert!(one.ino() != two.ino() && one.nlink() == 1 && two.nlink() == 1, "{name} is no hard link");
        }
        // What changes in one tree changes in no other. What a record says wrongly shares nothing.
        let large = one.join("usr/share/large");
        let mut changed = fs::read(&large).unwrap();
        changed[0] ^= 1;
        fs::write(&large, &changed).unwrap();
        let three = import(&gantry, &sharing(&gantry, "three", "srv"));
        assert!(fs::read(three.join("srv/large")).unwrap() == fs::read(two.join("opt/data/large")).unwrap());
        let output = gantry.installer().arg("verify").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("usr/share/large") && !said.contains("opt/data") && !said.contains("srv/"),
            "{said}"
        );
        drop(disk);
    }
}

/// A data directory on an overlay.
struct OnOverlay(std::path::PathBuf);

impl OnOverlay {
    fn new(gantry: &Gantry) -> Self {
        let layers = gantry.beside("layers");
        let path = |name: &str| layers.join(name);
        fs::create_dir(&layers).unwrap();
        mount(None::<&str>, &layers, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        for name in ["lower", "upper", "work"] {
            fs::create_dir(path(name)).unwrap();
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            path("lower").display(),
            path("upper").display(),
            path("work").display()
        );
        fs::create_dir(gantry.dir()).unwrap();
        let options = Some(options.as_str());
        mount(None::<&str>, &gantry.dir(), Some("overlay"), MsFlags::empty(), options).unwrap();
        umount_lazily(&layers);
        Self(gantry.dir())
    }
}

fn umount_lazily(path: &Path) {
    nix::mount::umount2(path, nix::mount::MntFlags::MNT_DETACH).unwrap();
}

impl Drop for OnOverlay {
    fn drop(&mut self) {
        umount(&self.0).unwrap();
    }
}

/// A program that makes a file system, and its words.
#[derive(Debug)]
struct Kind(&'static str, &'static [&'static str]);

/// A file system that can share content.
const XFS: Kind = Kind("mkfs.xfs", &["-q", "-m", "reflink=1"]);
/// One that can't.
const EXT4: Kind = Kind("mkfs.ext4", &["-q"]);

/// A data directory on a file system of its own.
struct Disk(std::path::PathBuf);

impl Disk {
    fn new(gantry: &Gantry, Kind(program, words): &Kind) -> Self {
        let image = gantry.beside("disk");
        fs::File::create(&image).unwrap().set_len(400 << 20).unwrap();
        let run = |program: &str, words: &[&std::ffi::OsStr]| {
            let output = Command::new(program).args(words).output().unwrap();
            assert!(output.status.success(), "{program}: {output:?}");
        };
        let words: Vec<&std::ffi::OsStr> =
            words.iter().map(AsRef::as_ref).chain([image.as_os_str()]).collect();
        run(program, &words);
        fs::create_dir(gantry.dir()).unwrap();
        run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_os_str(), gantry.dir().as_os_str()]);
        fs::set_permissions(gantry.dir(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        Self(gantry.dir())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The reaper may keep it open for a moment.
        umount_lazily(&self.0);
    }
}
