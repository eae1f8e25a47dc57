// SPDX-License-Identifier: Apache-2.0
//! Manifests as appc's own tools and people write them, and how people name images.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use gate::root_test;
use serde_json::{Value, json};
use testing::image::manifest;
use testing::pods::{Gantry, assert_says, image_id, image_sha512, text};
use testing::rootfs::{Node, Rootfs};

use super::{imported, refused};

fn rootfs() -> Rootfs {
    Rootfs::default().with("a", Node::program())
}

fn import(gantry: &Gantry, image: &Path) -> Output {
    gantry.installer().args(["image", "import"]).arg(image).output().unwrap()
}

fn prepare(gantry: &Gantry, image: &str, arguments: &[&str]) -> Output {
    gantry.with_images("prepare", &[Path::new(image)], arguments).output().unwrap()
}

#[track_caller]
fn prepared(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let pod = PathBuf::from(text(&output.stdout).trim());
    serde_json::from_slice(&fs::read(pod.join("container")).unwrap()).unwrap()
}

fn pod_manifest(gantry: &Gantry, pod: &Value) -> PathBuf {
    let path = gantry.beside("pod.json");
    fs::write(&path, pod.to_string()).unwrap();
    path
}

/// What a pod may override is not required of an image.
#[root_test]
fn an_image_without_a_program_is_imported_and_gets_one_from_the_pod() {
    for exec in [None, Some(Value::Null), Some(json!([]))] {
        let gantry = Gantry::new();
        let mut manifest = manifest("field", &["/a"]);
        match &exec {
            None => drop(manifest["app"].as_object_mut().unwrap().remove("exec")),
            Some(exec) => manifest["app"]["exec"] = exec.clone(),
        }
        let image = gantry.image("field", &rootfs(), &manifest);
        imported(&gantry, &import(&gantry, &image));
        let without = prepare(&gantry, "example.com/field", &[]);
        refused(&without, &["field", "no program", "--exec"]);
        let given = prepared(&prepare(&gantry, "example.com/field", &["--exec", "/a", "--", "argument"]));
        assert_eq!(given["apps"][0]["app"]["exec"], json!(["/a", "argument"]), "{exec:?}");
        // Words after -- alone are the program, if the image has none.
        let words = prepared(&prepare(&gantry, "example.com/field", &["--", "/a", "b"]));
        assert_eq!(words["apps"][0]["app"]["exec"], json!(["/a", "b"]), "{exec:?}");
        let app = json!({"exec": ["/a"], "user": "0", "group": "0"});
        let pod = json!({"acKind": "PodManifest", "acVersion": "0.8.11",
                         "apps": [{"name": "a", "image": {"id": image_id(&image)}, "app": app}]});
        let pod = pod_manifest(&gantry, &pod);
        prepared(&gantry.installer().args(["prepare", "--pod-manifest"]).arg(pod).output().unwrap());
    }
}

/// Versions of one name.
#[root_test]
fn versions_of_one_name_are_told_apart_by_their_labels() {
    let gantry = Gantry::new();
    let (mut ids, mut in_manifests) = (Vec::new(), Vec::new());
    for version in ["1", "2"] {
        let mut manifest = manifest("field", &["/a"]);
        manifest["labels"] = json!([{"name": "version", "value": version}, {"name": "os", "value": "linux"}]);
        let image = gantry.image(version, &rootfs(), &manifest);
        ids.push(imported(&gantry, &import(&gantry, &image)).id);
        in_manifests.push(image_sha512(&image));
    }
    for (name, id) in [
        ("example.com/field:1", &in_manifests[0]),
        ("example.com/field:2", &in_manifests[1]),
        ("example.com/field,version=2", &in_manifests[1]),
        ("example.com/field,version=1,os=linux", &in_manifests[0]),
        ("example.com/field:2,os=linux", &in_manifests[1]),
    ] {
        let pod = prepared(&prepare(&gantry, name, &["--pull", "never"]));
        let text = pod.to_string();
        assert!(text.contains(id), "{name}: {text}");
    }
    let both = prepare(&gantry, "example.com/field", &["--pull", "never"]);
    refused(&both, &["example.com/field", "several"]);
    assert_says(&text(&both.stderr), &[&ids[0], &ids[1], "version"]);
    for none in ["example.com/field:3", "example.com/field,version=1,os=plan9", "example.com/field,other=1"] {
        refused(&prepare(&gantry, none, &["--pull", "never"]), &[none]);
    }
    let list = gantry.installer().args(["image", "list", "--format", "json"]).output().unwrap();
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    for row in list.as_array().unwrap() {
        let version = if row["id"] == ids[0].as_str() { "1" } else { "2" };
        assert_eq!(row["labels"]["version"], version, "{row}");
    }
    let table = gantry.installer().args(["image", "list"]).output().unwrap();
    assert_says(&text(&table.stdout), &["example.com/field:1", "example.com/field:2"]);
    let one = gantry.installer().args(["image", "list", "--label", "version=2"]).output().unwrap();
    assert!(!text(&one.stdout).contains("field:1"), "{}", text(&one.stdout));
    let one = gantry.installer().args(["image", "list", "example.com/field:2"]).output().unwrap();
    assert!(!text(&one.stdout).contains("field:1") && text(&one.stdout).contains("field:2"));
}

/// Two apps of one image.
#[root_test]
fn an_image_may_be_given_twice() {
    let gantry = Gantry::new();
    let image = gantry.image("field", &rootfs(), &manifest("field", &["/a"]));
    let image = image.to_str().unwrap();
    let output = gantry.with_images("prepare", &[Path::new(image), Path::new(image)], &[]).output().unwrap();
    let pod = prepared(&output);
    let names: Vec<_> = pod["apps"].as_array().unwrap().iter().map(|app| app["name"].clone()).collect();
    assert_eq!(names, ["field", "field-2"]);
}

/// A pod manifest names its images by their digests.
#[root_test]
fn a_pod_manifest_alone_finds_its_images_in_the_store() {
    let gantry = Gantry::new();
    let image = gantry.image("field", &rootfs(), &manifest("field", &["/a"]));
    let entry = |name| json!({"name": name, "image": {"id": image_id(&image)}});
    let pod = json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": [entry("a"), entry("b")]});
    let pod = pod_manifest(&gantry, &pod);
    let run = || gantry.installer().args(["prepare", "--pod-manifest"]).arg(&pod).output().unwrap();
    refused(&run(), &[&image_id(&image), "no such image in the store"]);
    imported(&gantry, &import(&gantry, &image));
    assert_eq!(prepared(&run())["apps"].as_array().unwrap().len(), 2);
}

/// An image of 0.8 makes a pod of 0.8.
#[root_test]
fn a_pod_is_of_its_images_version() {
    for (version, kind) in
        [("0.8.11", "PodManifest"), ("0.5.1", "PodManifest"), ("0.1.1", "ContainerRuntimeManifest")]
    {
        let gantry = Gantry::new();
        let mut manifest = manifest("field", &["/a"]);
        manifest["acVersion"] = json!(version);
        manifest["labels"] = json!([]);
        let image = gantry.image("field", &rootfs(), &manifest);
        let pod = prepared(&prepare(&gantry, image.to_str().unwrap(), &[]));
        assert_eq!(pod["acKind"], kind, "{version}: {pod}");
    }
}

/// What the specification says MUST of manifests, by field and value.
#[root_test]
fn what_the_specification_forbids_is_refused_by_field_and_value() {
    let twice = json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]);
    let label = |name: &str| json!([{"name": name, "value": "x"}]);
    for (field, value, parts) in [
        ("environment", twice, &["environment", "\"A\"", "two"][..]),
        ("labels", label("name"), &["label", "\"name\""]),
        ("labels", label("Version"), &["label", "\"Version\""]),
        ("labels", label("a b"), &["label", "\"a b\""]),
        (
            "annotations",
            json!([{"name": "created", "value": "garbage"}]),
            &["created", "garbage", "RFC 3339"],
        ),
        ("annotations", json!([{"name": "homepage", "value": "ftp://x"}]), &["homepage", "ftp://x", "http"]),
        (
            "annotations",
            json!([{"name": "documentation", "value": "x"}]),
            &["documentation", "\"x\"", "http"],
        ),
        ("annotations", label("Upper"), &["annotation", "\"Upper\""]),
    ] {
        let gantry = Gantry::new();
        let mut manifest = manifest("field", &["/a"]);
        match field {
            "environment" => manifest["app"][field] = value,
            _ => manifest[field] = value,
        }
        let image = gantry.image("field", &rootfs(), &manifest);
        refused(&import(&gantry, &image), parts);
    }
}

/// Images outlive the Gantry that they were made for.
#[root_test]
fn a_newer_annotation_is_a_warning_at_import_and_an_error_where_a_pod_uses_it() {
    for place in ["image", "app"] {
        let gantry = Gantry::new();
        let mut manifest = manifest("field", &["/a"]);
        let annotations = json!([{"name": "gantry/of-tomorrow", "value": "x"}]);
        match place {
            "app" => manifest["app"]["annotations"] = annotations.clone(),
            _ => manifest["annotations"] = annotations.clone(),
        }
        let image = gantry.image("field", &rootfs(), &manifest);
        let imported = imported(&gantry, &import(&gantry, &image));
        assert_says(&imported.said, &["warning", "gantry/of-tomorrow"]);
        refused(&prepare(&gantry, image.to_str().unwrap(), &[]), &["gantry/of-tomorrow"]);
        let pod = json!({"acKind": "PodManifest", "acVersion": "0.8.11", "annotations": annotations,
                         "apps": [{"name": "a", "image": {"id": imported.id}}]});
        let pod = pod_manifest(&gantry, &pod);
        let output = gantry.installer().args(["prepare", "--pod-manifest"]).arg(pod).output().unwrap();
        refused(&output, &["gantry/of-tomorrow"]);
    }
}

/// Types.md has these.
#[root_test]
fn an_arch_needs_no_os_and_names_have_what_types_md_says() {
    let gantry = Gantry::new();
    let mut manifest = manifest("field", &["/a"]);
    manifest["labels"] = json!([{"name": "arch", "value": "amd64"}]);
    manifest["name"] = json!("example.com/~user/app_v1");
    let image = gantry.image("field", &rootfs(), &manifest);
    imported(&gantry, &import(&gantry, &image));
    let pod = prepared(&prepare(&gantry, "example.com/~user/app_v1", &["--pull", "never"]));
    assert!(pod.to_string().contains("app_v1") || pod.to_string().contains("app-v1"), "{pod}");
}

/// A port that the pod defines itself.
#[root_test]
fn a_pod_port_is_honoured() {
    let gantry = Gantry::new();
    let image = gantry.image("field", &rootfs(), &manifest("field", &["/a"]));
    let port = |number: Value| {
        json!({"name": "web", "hostPort": 28_080,
               "podPort": {"name": "web", "protocol": "tcp", "port": number}})
    };
    let pod = |port: Value| {
        json!({"acKind": "PodManifest", "acVersion": "0.8.11", "ports": [port],
               "annotations": [{"name": "gantry/net", "value": "private"}],
               "apps": [{"name": "a", "image": {"id": image_id(&image)}}]})
    };
    let prepare = |pod: Value| {
        let pod = pod_manifest(&gantry, &pod);
        let arguments = ["--pod-manifest", pod.to_str().unwrap()];
        gantry.with_images("prepare", &[&image], &arguments).output().unwrap()
    };
    refused(&prepare(pod(port(json!(0)))), &["port"]);
    let output = prepare(pod(port(json!(80))));
    prepared(&output);
    let mut dry_run = std::process::Command::new("./stage1/init");
    let plan = dry_run.arg("--dry-run").current_dir(text(&output.stdout).trim()).output().unwrap();
    assert_says(&text(&plan.stdout), &["28080", "80"]);
}
