// SPDX-License-Identifier: Apache-2.0
//! What `gc` removes from the store, and what stays.

use std::fs;
use std::path::PathBuf;

use gate::root_test;
use serde_json::json;
use testing::image::manifest;
use testing::pods::{Gantry, Running, image_id};
use testing::rootfs::{Node, Rootfs};

use super::{image, is_empty, refused, said, trees};

#[root_test]
fn gc_takes_what_no_pod_refers_to() {
    let gantry = Gantry::new();
    let (kept, gone) = (image(&gantry, "kept", "k"), image(&gantry, "gone", "g"));
    let pod = gantry.prepare(&[&kept], &[]);
    said(&gantry, &["image", "import", gone.to_str().unwrap()]);
    assert_eq!(said(&gantry, &["gc"]), format!("removed image {} example.com/gone\n", image_id(&gone)));
    assert_eq!(said(&gantry, &["gc"]), "");
    assert_eq!(gantry.start(&pod).wait().1.stdout, b"k");
    gantry.wait_all();
    fs::remove_dir_all(&pod).unwrap();
    // A killed run leaves such a directory.
    fs::create_dir(gantry.dir().join("staging/6733c088-a507-4694-aabf-ae0bc1ccaaff")).unwrap();
    assert_eq!(said(&gantry, &["gc"]).lines().count(), 2, "the other image and stage1");
    for left in ["store/tree-v1", "store/alias-v1", "store/name-v1", "store/blob-v1", "staging", "containers"]
    {
        assert!(is_empty(&gantry.dir().join(left)), "{left}");
    }
}

#[root_test]
fn gc_removes_nothing_where_a_pod_might_need_anything() {
    let gantry = Gantry::new();
    let pod = gantry.prepare(&[&image(&gantry, "a", "word")], &[]);
    let before = trees(&gantry);
    fs::write(pod.join("layers"), "no layers").unwrap();
    let output = gantry.installer().arg("gc").output().unwrap();
    refused(&output, &[pod.file_name().unwrap().to_str().unwrap(), "layers"]);
    assert_eq!(trees(&gantry), before);
}

/// A pod that runs until it is told to read its image.
pub(crate) struct Waiting {
    pub(crate) image: PathBuf,
    pub(crate) pod: PathBuf,
    pub(crate) running: Running,
    pub(crate) go: PathBuf,
}

impl Waiting {
    pub(crate) fn start(gantry: &Gantry) -> Self {
        let script = "echo up; read line < /go; cat /etc/word";
        let busybox = Rootfs::busybox().unwrap().with("etc/word", Node::File(0o644, b"word".to_vec()));
        let mut image = manifest("runs", &["/bin/sh", "-c", script]);
        image["app"]["mountPoints"] = json!([{"name": "go", "path": "/go"}]);
        let image = gantry.image("runs", &busybox, &image);
        let go = gantry.beside("go");
        nix::unistd::mkfifo(&go, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let volume = format!("go,kind=host,source={}", go.display());
        let pod = gantry.prepare(&[&image], &["--volume", &volume]);
        let mut running = gantry.start(&pod);
        running.wait_for("up");
        Self { image, pod, running, go }
    }
}

#[root_test]
fn gc_removes_nothing_under_a_running_pod() {
    let gantry = Gantry::new();
    let Waiting { pod, running, go, .. } = Waiting::start(&gantry);
    // Without this file, the pod's directory doesn't say which trees it needs.
    let layers = fs::read(pod.join("layers")).unwrap();
    fs::remove_file(pod.join("layers")).unwrap();
    assert_eq!(said(&gantry, &["gc"]), "");
    fs::write(pod.join("layers"), layers).unwrap();
    fs::write(&go, "\n").unwrap();
    let (code, output) = running.wait();
    assert_eq!((code, output.stdout.ends_with(b"word")), (0, true), "{output:?}");
    gantry.wait_all();
}

#[root_test]
fn an_image_that_a_pod_refers_to_stays() {
    let gantry = Gantry::new();
    let file = image(&gantry, "used", "word");
    let pod = gantry.prepare(&[&file], &[]);
    let id = image_id(&file);
    let output = gantry.installer().args(["image", "rm", "example.com/used"]).output().unwrap();
    refused(&output, &[&id, pod.file_name().unwrap().to_str().unwrap()]);
    fs::remove_dir_all(&pod).unwrap();
    assert_eq!(said(&gantry, &["image", "rm", &id[..15]]), format!("removed {id}\n"));
    assert_eq!(trees(&gantry).len(), 1, "stage1");
}
