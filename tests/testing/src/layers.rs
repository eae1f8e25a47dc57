// SPDX-License-Identifier: Apache-2.0
//! Pods in each layout. Apps may expect the same in all layouts.

use std::fs;
use std::path::{Path, PathBuf};

use pod::id::TreeId;
use pod::layers::Layers;
use pod::layout;
use serde_json::{Value, json};

use crate::image::manifest;
use crate::pods::{Gantry, image_id};
use crate::rootfs::Rootfs;

/// The place of a pod's trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// In the store, under overlays.
    Overlay,
    /// In the pod directory, each app with its own.
    Copy,
}

/// All layouts.
pub const LAYOUTS: [Layout; 2] = [Layout::Overlay, Layout::Copy];

impl Layout {
    /// Returns the layout's name on the installer's command line.
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
/// Panics if that fails.
pub fn prepare(gantry: &Gantry, layout: Layout, images: &[&Path], arguments: &[&str]) -> PathBuf {
    gantry.prepare(images, &[arguments, &["--layout", layout.option()]].concat())
}

/// Prepares a pod of one app, which runs a script as root.
///
/// # Panics
/// Panics if it can't be prepared.
pub fn one(gantry: &Gantry, layout: Layout, rootfs: &Rootfs, script: &str) -> PathBuf {
    let image = gantry.image("one", rootfs, &manifest("one", &["/bin/sh", "-c", script]));
    prepare(gantry, layout, &[&image], &[])
}

/// Prepares a pod of several apps from one image, each of which runs a script as root. `more` is added to the entry of
/// each app in the pod manifest.
///
/// # Panics
/// Panics if it can't be prepared.
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

/// Runs a pod and returns what it writes to stdout.
///
/// Where cgroup v2 has no `pids` controller, a pod may warn that nothing limits the processes of apps with its users.
///
/// # Panics
/// Panics if the pod fails or writes anything else to stderr.
pub fn succeed(gantry: &Gantry, pod: &Path) -> String {
    let (code, output) = gantry.start(pod).wait();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let errors = text(&output.stderr);
    let others: Vec<_> = errors.lines().filter(|line| !line.contains("no pids controller")).collect();
    assert_eq!((code, others), (0, vec![]), "{}", text(&output.stdout));
    text(&output.stdout)
}

/// Returns a tree's directory in the store.
pub fn tree(home: &Path, tree: &TreeId) -> PathBuf {
    home.join(layout::TREES).join(tree.to_string())
}

/// Returns the layers that a pod has in the store.
///
/// # Panics
/// Panics if the pod has no readable record of them.
pub fn layers(pod: &Path) -> Layers {
    Layers::parse(&fs::read(pod.join(layout::LAYERS)).expect("a pod says where its trees are"))
        .expect("a pod's layers are valid")
}
