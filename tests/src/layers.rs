// SPDX-License-Identifier: Apache-2.0
//! Pods in each layout: what an app may expect is the same in all of them.

use std::fs;
use std::path::{Path, PathBuf};

use pod::digest::Digest;
use pod::layers::Layers;
use pod::layout;
use serde_json::{Value, json};

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

impl Layout {
    /// As the installer is told.
    fn option(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Copy => "copy",
        }
    }
}

/// Prepares a pod in this layout and returns its directory.
///
/// # Panics
/// Where that fails.
pub fn prepare(gantry: &Gantry, layout: Layout, images: &[&Path], arguments: &[&str]) -> PathBuf {
    gantry.prepare(images, &[arguments, &["--layout", layout.option()]].concat())
}

/// A pod of one app, which runs a script as root.
///
/// # Panics
/// Where it can't be prepared.
pub fn one(gantry: &Gantry, layout: Layout, rootfs: &Rootfs, script: &str) -> PathBuf {
    let image = gantry.image("one", rootfs, &manifest("one", &["/bin/sh", "-c", script]));
    prepare(gantry, layout, &[&image], &[])
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
    prepare(gantry, layout, &[&image], &["--pod-manifest", path.to_str().expect("a path is text")])
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
