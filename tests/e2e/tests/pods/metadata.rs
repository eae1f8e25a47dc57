// SPDX-License-Identifier: Apache-2.0
//! The metadata service as a person sees it, and the ids by which manifests of 0.8 call images. What an app is told is in
//! the suite `conformance`.

use std::fs;
use std::path::Path;

use gate::root_test;
use serde_json::Value;
use testing::image::manifest;
use testing::pods::{Gantry, image_id, image_sha512, text};
use testing::rootfs::Rootfs;

fn image(gantry: &Gantry, script: &str) -> std::path::PathBuf {
    let app = manifest("asks", &["/bin/sh", "-c", script]);
    gantry.image("asks", &Rootfs::busybox().unwrap(), &app)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Forgets the sha512 of all images, as a store has it that an earlier version made.
fn forget_sha512(gantry: &Gantry) {
    for entry in fs::read_dir(gantry.dir().join("store/tree-v1")).unwrap() {
        let path = entry.unwrap().path().join("info");
        let mut info = json(&path);
        info.as_object_mut().unwrap().remove("sha512");
        fs::write(&path, info.to_string()).unwrap();
    }
    for entry in fs::read_dir(gantry.dir().join("store/alias-v1")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_str().unwrap().starts_with("sha512-") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

#[root_test]
fn a_manifest_of_0_8_that_is_written_calls_images_by_their_sha512() {
    let gantry = Gantry::new();
    let image = image(&gantry, "busybox wget -qO- $AC_METADATA_URL/acMetadata/v1/apps/asks/image/id");
    let (sha256, sha512) = (image_id(&image), image_sha512(&image));
    for layout in ["overlay", "copy"] {
        let pod = gantry.prepare(&[&image], &["--hostname", "asks", "--layout", layout]);
        assert_eq!(json(&pod.join("container"))["apps"][0]["image"]["id"], sha512.as_str());
        let (code, output) = gantry.start(&pod).wait();
        assert_eq!((code, text(&output.stdout)), (0, sha512.clone()), "{}", text(&output.stderr));
        let mut list = gantry.installer();
        let list = list.args(["list", "--format", "json"]).output().unwrap();
        let list: Value = serde_json::from_slice(&list.stdout).unwrap();
        let pods = list.as_array().unwrap();
        assert!(pods.iter().all(|pod| pod["apps"][0]["image"] == sha256.as_str()), "{list}");
    }
    let inspected = gantry.installer().args(["image", "inspect", "example.com/asks"]).output().unwrap();
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!((&inspected[0]["id"], &inspected[0]["sha512"]), (&sha256.into(), &sha512.into()));
}

#[root_test]
fn an_image_of_an_older_store_gets_its_sha512_from_its_file_or_is_called_by_its_sha256() {
    let gantry = Gantry::new();
    let image = image(&gantry, "true");
    let (sha256, sha512) = (image_id(&image), image_sha512(&image));
    let prepare = |image: &str| {
        let mut command = gantry.installer();
        let output = command.args(["prepare", "--image", image, "--hostname", "asks"]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let pod = text(&output.stdout);
        let id = json(&Path::new(pod.trim_end()).join("container"))["apps"][0]["image"]["id"].clone();
        let said = text(&output.stderr).replace("layout: overlays\n", "");
        (id.as_str().unwrap().to_owned(), said)
    };
    prepare(image.to_str().unwrap());
    forget_sha512(&gantry);
    let (called, said) = prepare("example.com/asks");
    assert_eq!(called, sha256);
    assert!(said.contains("its sha512 is not known, so the pod calls it by its sha256"), "{said}");
    // The file has it, and then the store does.
    assert_eq!(prepare(image.to_str().unwrap()), (sha512.clone(), String::new()));
    assert_eq!(prepare("example.com/asks"), (sha512, String::new()));
}

#[root_test]
fn a_pod_may_be_without_a_metadata_service() {
    let gantry = Gantry::new();
    let image = image(
        &gantry,
        "echo ${AC_METADATA_URL-none}; busybox nc -w 1 127.0.0.1 16925 </dev/null || echo nobody",
    );
    let pod = gantry.prepare(&[&image], &["--no-metadata"]);
    let (code, output) = gantry.start(&pod).wait();
    assert_eq!((code, text(&output.stdout)), (0, "none\nnobody\n".to_owned()), "{}", text(&output.stderr));
    // The manifest of a pod with one, and with a variable of that name of its own.
    let pod = gantry.prepare(&[&image], &["-e", "AC_METADATA_URL=http://192.0.2.1"]);
    let (_, output) = gantry.start(&pod).wait();
    assert_eq!(text(&output.stdout), "http://192.0.2.1\n");
}
