// SPDX-License-Identifier: Apache-2.0
//! Pods in each layout: what an app may expect is the same in all of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pod::digest::Digest;
use pod::layers::Layers;
use pod::layout;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::image::manifest;
use crate::pods::{Gantry, image_id};
use crate::rootfs::Rootfs;

/// Where a pod's trees are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// In the store, under overlays.
    Overlay,
    /// In the pod directory, each app with its own.
    Copy,
}

/// All of them.
pub const LAYOUTS: [Layout; 2] = [Layout::Overlay, Layout::Copy];

/// Prepares a pod in this layout and returns its directory. `copies` are the apps whose image an app before them has.
///
/// # Panics
/// Where that fails.
pub fn prepare(
    gantry: &Gantry,
    layout: Layout,
    images: &[&Path],
    arguments: &[&str],
    copies: &[&str],
) -> PathBuf {
    let pod = gantry.prepare(images, arguments);
    match layout {
        Layout::Overlay => into_overlay(&gantry.dir(), &pod),
        Layout::Copy => copies.iter().for_each(|app| copy(&pod, app)),
    }
    pod
}

/// A pod of one app, which runs a script as root.
///
/// # Panics
/// Where it can't be prepared.
pub fn one(gantry: &Gantry, layout: Layout, rootfs: &Rootfs, script: &str) -> PathBuf {
    let image = gantry.image("one", rootfs, &manifest("one", &["/bin/sh", "-c", script]));
    prepare(gantry, layout, &[&image], &[], &[])
}

/// A pod of apps of one image, each of which runs a script as root; `more` is in the pod manifest for each.
///
/// # Panics
/// Where it can't be prepared.
pub fn of_one_image(gantry: &Gantry, layout: Layout, apps: &[(&str, &str)], more: &Value) -> PathBuf {
    let rootfs = Rootfs::busybox().expect("busybox can be had");
    let image = gantry.image("image", &rootfs, &manifest("image", &["true"]));
    let id = image_id(&image);
    let entry = |(name, script): &(&str, &str)| {
        let app = json!({"exec": ["/bin/sh", "-c", script], "user": "0", "group": "0"});
        let mut entry = json!({"name": name, "image": {"id": id}, "app": app});
        let more = more.as_object().expect("an app's entry is an object").clone();
        entry.as_object_mut().expect("an app's entry is an object").extend(more);
        entry
    };
    let entries: Vec<Value> = apps.iter().map(entry).collect();
    let pod = json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": entries});
    let path = gantry.beside("pod.json");
    fs::write(&path, pod.to_string()).expect("a pod manifest can be written");
    let copies: Vec<&str> = apps.iter().skip(1).map(|(name, _)| *name).collect();
    prepare(gantry, layout, &[&image], &["--pod-manifest", path.to_str().expect("a path is text")], &copies)
}

/// Runs a pod that ends well and says nothing on stderr; what it writes to stdout.
///
/// # Panics
/// Where it does not.
pub fn succeed(gantry: &Gantry, pod: &Path) -> String {
    let (code, output) = gantry.start(pod).wait();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!((code, text(&output.stderr).as_str()), (0, ""), "{}", text(&output.stdout));
    text(&output.stdout)
}

/// A tree's directory in the store.
pub fn tree(home: &Path, tree: &Digest) -> PathBuf {
    home.join(layout::TREES).join(tree.to_string())
}

/// What a pod in the store's layout has of it.
///
/// # Panics
/// Where it does not say.
pub fn layers(pod: &Path) -> Layers {
    Layers::parse(&fs::read(pod.join(layout::LAYERS)).expect("a pod says where its trees are"))
        .expect("a pod's layers are valid")
}

/// Moves the trees of a pod that has them as copies into the store.
fn into_overlay(home: &Path, pod: &Path) {
    let stage1 = pod.join(layout::STAGE1);
    let name = |of: &str| Digest::Sha256(Sha256::digest(of).into());
    let images = fs::read_dir(stage1.join(layout::IMAGES)).expect("a pod has images");
    let images = images.map(|image| {
        let image = image.expect("images can be listed");
        let id: Digest = image.file_name().to_string_lossy().parse().expect("a directory is an image id's");
        let (tree, name) = (image.path(), name(&id.to_string()));
        publish(home, &tree, &name);
        (id, name)
    });
    let images = images.collect();
    let name = name("stage1");
    let init = fs::read(stage1.join(layout::INIT)).expect("stage1 has /init");
    publish(home, &stage1, &name);
    fs::create_dir(&stage1).expect("an upper layer can be made");
    fs::write(stage1.join(layout::INIT), init).expect("/init can be written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o555);
    fs::set_permissions(stage1.join(layout::INIT), mode).expect("/init can be made executable");
    let layers = Layers::Overlay { stage1: name, images };
    fs::write(pod.join(layout::LAYERS), layers.to_json()).expect("layers can be written");
}

fn publish(home: &Path, from: &Path, name: &Digest) {
    let to = tree(home, name);
    fs::create_dir_all(&to).expect("a tree's directory can be made");
    if to.join(layout::TREE).exists() {
        fs::remove_dir_all(from).expect("a second tree can be removed");
    } else {
        fs::rename(from, to.join(layout::TREE)).expect("a tree can be moved");
    }
}

/// Gives an app a copy of the only image.
fn copy(pod: &Path, app: &str) {
    let stage1 = pod.join(layout::STAGE1);
    let mut images = fs::read_dir(stage1.join(layout::IMAGES)).expect("a pod has images");
    let image = images.next().expect("a pod has an image").expect("images can be listed").path();
    let own = stage1.join(layout::own_root(&app.parse().expect("an app's name")));
    fs::create_dir_all(own.parent().expect("it lies in a directory")).expect("a directory can be made");
    let copied = Command::new("cp").arg("-a").arg(image.join(layout::IMAGE_ROOTFS)).arg(own).status();
    assert!(copied.expect("cp can be executed").success(), "a tree can be copied");
}
