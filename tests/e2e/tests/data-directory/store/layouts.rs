// SPDX-License-Identifier: Apache-2.0
//! Pods where overlays can't be made, or are not wanted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gate::root_test;
use nix::mount::{MsFlags, mount, umount};
use pod::layout;
use serde_json::json;
use testing::image::manifest;
use testing::pods::{Gantry, image_id, image_sha512, status};
use testing::rootfs::Rootfs;
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
    let disk = Disk::new(&gantry);
    let (pod, said) = prepare(&gantry, "copy");
    assert_eq!(said, "layout: copies by reflink\n");
    runs(&gantry, &pod);
    drop(disk);
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

/// A data directory on a file system of its own that can share content: XFS.
struct Disk(std::path::PathBuf);

impl Disk {
    fn new(gantry: &Gantry) -> Self {
        let image = gantry.beside("disk");
        fs::File::create(&image).unwrap().set_len(400 << 20).unwrap();
        let run = |program: &str, words: &[&std::ffi::OsStr]| {
            let output = Command::new(program).args(words).output().unwrap();
            assert!(output.status.success(), "{program}: {output:?}");
        };
        run("mkfs.xfs", &["-q".as_ref(), "-m".as_ref(), "reflink=1".as_ref(), image.as_os_str()]);
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
