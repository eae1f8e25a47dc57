// SPDX-License-Identifier: Apache-2.0
//! Pod manifests whose apps name images in place of giving ids.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use gate::root_test;
use serde_json::{Value, json};
use testing::image::manifest;
use testing::oci::OciImage;
use testing::pods::{Gantry, assert_says, image_id, image_sha512, text};
use testing::registry::Server;
use testing::rootfs::{Node, Rootfs};

use crate::server::installer;

/// An image that prints a word.
fn image(word: &str) -> OciImage {
    let rootfs = Rootfs::busybox().unwrap().with("etc/word", Node::File(0o644, word.into()));
    OciImage::new(&[&rootfs], &json!({"Cmd": ["/bin/cat", "/etc/word"]}))
}

/// Writes a pod manifest with these apps.
fn file(gantry: &Gantry, apps: &Value) -> PathBuf {
    let path = gantry.beside("pod.json");
    let document = json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": apps});
    fs::write(&path, document.to_string()).unwrap();
    path
}

fn by_reference(reference: &str) -> Value {
    json!({"name": "app", "image": {}, "annotations": [{"name": "gantry/image", "value": reference}]})
}

/// Runs the installer with a manifest of this app and these words.
fn with(gantry: &Gantry, server: &Server, command: &str, app: &Value, words: &[&str]) -> Output {
    let path = file(gantry, &json!([app]));
    let words = [&[command, "--pod-manifest", path.to_str().unwrap()], words].concat();
    installer(gantry, server, &words)
}

/// Returns the manifest of the only pod, which is removed.
fn only_pod(gantry: &Gantry) -> Value {
    let pod = gantry.pod();
    let manifest = serde_json::from_slice(&fs::read(pod.join("container")).unwrap()).unwrap();
    fs::remove_dir_all(pod).unwrap();
    manifest
}

#[root_test]
fn a_pod_manifest_may_name_its_images() {
    let gantry = Gantry::new();
    let one = image("one\n");
    let server = Server::start(&one.blobs());
    let (name, layout) = (server.name("a/b"), gantry.beside("layout"));
    image("two\n").write_layout(&layout);

    let output = with(&gantry, &server, "prepare", &by_reference(&name), &["--pull", "never"]);
    assert_says(&text(&output.stderr), &["app app", &name, "the store does not have it"]);
    assert!(!gantry.dir().exists(), "nothing is written before all images are found");

    let output = with(&gantry, &server, "run", &by_reference(&name), &[]);
    gantry.wait_all();
    assert_eq!(
        (text(&output.stdout).as_str(), output.status.code()),
        ("one\n", Some(0)),
        "{}",
        text(&output.stderr)
    );
    let inspected = installer(&gantry, &server, &["image", "inspect", &one.id]);
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    let written = only_pod(&gantry);
    assert_eq!(written["apps"][0]["image"], json!({"id": inspected[0]["sha512"]}), "the exact id");
    assert_eq!(written["apps"][0]["annotations"], json!([]));

    // By its name in appc's words, and by any other that the store has for it.
    let called = |name: &Value| json!({"name": "app", "image": {"name": name, "labels": [{"name": "os", "value": "linux"}]}});
    for app in
        [by_reference(&one.id), called(&inspected[0]["name"]), by_reference(&layout.display().to_string())]
    {
        let output = with(&gantry, &server, "run", &app, &["--pull", "never"]);
        gantry.wait_all();
        let expected = if app == by_reference(&layout.display().to_string()) { "two\n" } else { "one\n" };
        assert_eq!(text(&output.stdout), expected, "{app}: {}", text(&output.stderr));
        drop(only_pod(&gantry));
    }
    // An id beside the reference is what the image must have.
    let mut both = by_reference(&name);
    both["image"]["id"] = json!(one.id);
    let output = with(&gantry, &server, "prepare", &both, &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(only_pod(&gantry)["apps"][0]["image"]["id"], json!(one.id));
    both["image"]["id"] = json!(format!("sha256-{}", "0".repeat(64)));
    let output = with(&gantry, &server, "prepare", &both, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_says(&text(&output.stderr), &["app app", &one.id, "expected sha256-0000"]);
    let output = with(&gantry, &server, "prepare", &called(&json!("nothing")), &["--pull", "never"]);
    assert_says(&text(&output.stderr), &["app app", "nothing"]);
    assert_eq!(gantry.pods().len(), 0);
}

#[root_test]
fn a_name_in_a_pod_manifest_means_a_given_image_or_one_of_the_store() {
    let gantry = Gantry::new();
    let server = Server::start(&[b"{}"]);
    let aci = |word: &str, version: &str| {
        let rootfs = Rootfs::busybox().unwrap().with("etc/word", Node::File(0o644, word.into()));
        let mut manifest = manifest("word", &["/bin/cat", "/etc/word"]);
        manifest["labels"] = json!([{"name": "version", "value": version}]);
        gantry.image(word.trim(), &rootfs, &manifest)
    };
    let (one, two) = (aci("one\n", "1"), aci("two\n", "2"));
    let app = |name: &str, version: &str| {
        let labels = json!([{"name": "version", "value": version}]);
        json!({"name": name, "image": {"name": "example.com/word", "labels": labels}})
    };
    let run = |apps: &Value, words: &[&str]| {
        let path = file(&gantry, apps);
        let words = [&["run", "--pod-manifest", path.to_str().unwrap(), "--pull", "never"], words].concat();
        let output = installer(&gantry, &server, &words);
        gantry.wait_all();
        output
    };
    let given = ["--image", one.to_str().unwrap(), "--image", two.to_str().unwrap()];
    let apps =
        json!([app("first", "2"), app("second", "1"), {"name": "third", "image": {"id": image_id(&two)}}]);
    let output = run(&apps, &given);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let ids: Vec<_> =
        only_pod(&gantry)["apps"].as_array().unwrap().iter().map(|app| app["image"]["id"].clone()).collect();
    assert_eq!(ids, [json!(image_id(&two)), json!(image_sha512(&one)), json!(image_id(&two))]);
    let output = run(&json!([app("a", "3"), app("b", "1")]), &given);
    assert_says(&text(&output.stderr), &["app a", "no given image is", "example.com/word:3"]);

    // The store has them now.
    for (version, word) in [("1", "one\n"), ("2", "two\n")] {
        let output = run(&json!([app("app", version)]), &[]);
        assert_eq!(text(&output.stdout), word, "{}", text(&output.stderr));
        drop(only_pod(&gantry));
    }
    let output = run(&json!([app("app", "3")]), &[]);
    assert!(!output.status.success());
    assert_says(&text(&output.stderr), &["app app", "example.com/word:3"]);
}
