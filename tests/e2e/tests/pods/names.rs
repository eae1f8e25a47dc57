// SPDX-License-Identifier: Apache-2.0
//! Names that are valid only in 0.1: what is named after them is found under their escaped form, and the app sees its
//! own name.

use std::fs;
use std::path::Path;

use gate::root_test;
use serde_json::{Value, json};
use testing::image::{manifest, with_handler};
use testing::pods::{Gantry, status};
use testing::rootfs::Rootfs;

/// Gives the only app of a prepared pod another name, as if its manifest were written by hand.
fn rename(pod: &Path, name: &str) {
    let path = pod.join("container");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["apps"][0]["name"] = json!(name);
    fs::write(path, manifest.to_string()).unwrap();
}

#[root_test]
fn a_pod_of_0_1_has_names_with_slashes_and_doubled_hyphens() {
    let gantry = Gantry::new();
    let mut image =
        manifest("a--b", &["/bin/sh", "-c", "echo \"$AC_APP_NAME\"; echo x > /data/file; exit 7"]);
    image = with_handler(image, "post-stop", "echo \"after $AC_APP_NAME\"");
    image["app"]["isolators"] = json!([{"name": "resource/memory", "value": {"limit": "1G"}}]);
    let refused = gantry.image("newer", &Rootfs::busybox().unwrap(), &image);
    let output = gantry.with_images("prepare", &[&refused], &[]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("invalid app name \"a--b\""), "{output:?}");

    image["acVersion"] = json!("0.1.1");
    image["app"]["mountPoints"] = json!([{"name": "data/one", "path": "/data"}]);
    let image = gantry.image("image", &Rootfs::busybox().unwrap(), &image);
    let pod = gantry.prepare(&[&image], &["--volume", "data/one,kind=empty"]);
    for (name, written) in
        [(None, "a--b"), (Some("example.com/etcd"), "example.com/etcd"), (Some(".."), "..")]
    {
        name.into_iter().for_each(|name| rename(&pod, name));
        let (code, output) = gantry.start(&pod).wait();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!((code, shown), (7, format!("{written}\nafter {written}\n")), "{output:?}");
        let escaped = match written {
            "a--b" => "aDDb",
            ".." => "PP",
            _ => "example.comSetcd",
        };
        assert_eq!(status(&pod, escaped), 7);
        let file = pod.join("stage1/rkt/volumes/dataSone/file");
        assert_eq!(fs::read_to_string(&file).unwrap(), "x\n");
        fs::remove_file(file).unwrap();
    }
}
