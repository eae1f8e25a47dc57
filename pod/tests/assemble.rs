// SPDX-License-Identifier: Apache-2.0
//! Pods put together from manifests, and the ways in which that is refused.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

use std::collections::BTreeMap;

use pod::digest::Digest;
use pod::manifest::{ImageManifest, Manifest};
use pod::{Pod, Result};
use serde_json::{Value, json};

const ID: &str = "6733c088-a507-4694-aabf-ae0bc1ccaaff";

fn digest(n: u8) -> Digest {
    Digest::from_bytes([n; 32])
}

fn image(app: &Value) -> Value {
    json!({"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/a", "app": app})
}

fn app() -> Value {
    json!({"exec": ["/bin/a"], "user": "0", "group": "0"})
}

fn runtime(apps: &Value, volumes: &Value) -> Value {
    json!({"acKind": "ContainerRuntimeManifest", "acVersion": "0.1.1", "uuid": ID, "apps": apps, "volumes": volumes})
}

fn one_app() -> Value {
    json!([{"name": "a", "imageID": digest(1)}])
}

fn assemble(manifest: &Value, image: &Value) -> Result<Pod> {
    let manifest = Manifest::parse(manifest.to_string().as_bytes())?;
    let image = ImageManifest::parse(image.to_string().as_bytes())?;
    Pod::assemble(ID.parse()?, &manifest, &BTreeMap::from([(digest(1), image)]))
}

fn refused(manifest: &Value, image: &Value, why: &str) {
    let error = assemble(manifest, image).expect_err(why).to_string();
    assert!(error.contains(why), "{error:?} should say {why:?}");
    assert!(!error.contains('\n'), "{error:?} is not one line");
}

#[test]
fn a_pod_of_0_1() {
    let mut spec = app();
    spec["mountPoints"] = json!([{"name": "data", "path": "//var/./data", "readOnly": true}]);
    spec["environment"] = json!({"A.b": "x\n"});
    spec["eventHandlers"] = json!([{"name": "pre-start", "exec": ["init", "%n $HOME"]}]);
    let volumes = json!([{"kind": "host", "source": "/srv/a:b\\c", "fulfills": ["data"]}]);
    let pod = assemble(&runtime(&one_app(), &volumes), &image(&spec)).unwrap();
    let app = &pod.apps[0];
    assert_eq!(app.working_directory.as_str(), "/");
    assert_eq!(app.environment[0].1.as_str(), "x\n");
    assert_eq!(app.pre_start.as_ref().unwrap().words()[1].as_str(), "%n $HOME");
    assert_eq!(app.mounts[0].target.as_str(), "/var/data");
    assert_eq!(app.mounts[0].source.as_str(), "/srv/a:b\\c");
    assert!(app.mounts[0].read_only);
}

#[test]
fn a_pod_of_0_8_overrides_its_image() {
    let manifest = json!({
        "acKind": "PodManifest", "acVersion": "0.8.11",
        "apps": [{
            "name": "b", "image": {"id": digest(1)},
            "app": {"exec": ["other"], "user": "u", "group": "g",
                    "environment": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
                    "isolators": [{"name": "resource/cpu", "value": {"limit": "1"}}]},
            "mounts": [{"volume": "v", "path": "/mnt"}]}],
        "volumes": [{"name": "v", "kind": "host", "source": "/srv", "readOnly": true}],
    });
    let pod = assemble(&manifest, &image(&app())).unwrap();
    let app = &pod.apps[0];
    assert_eq!((app.name.as_str(), app.exec.program()), ("b", "other"));
    assert_eq!(app.environment.len(), 2);
    assert!(app.mounts[0].read_only);
    assert_eq!(pod.unenforced[0].1.as_str(), "resource/cpu");
}

#[test]
fn what_is_missing_or_twice_is_named() {
    let none = json!([]);
    refused(&runtime(&none, &none), &image(&app()), "the pod has no app");
    let twice = json!([{"name": "a", "imageID": digest(1)}, {"name": "a", "imageID": digest(1)}]);
    refused(&runtime(&twice, &none), &image(&app()), "two apps are called a");
    let other = json!([{"name": "a", "imageID": digest(2)}]);
    refused(&runtime(&other, &none), &image(&app()), &format!("image {} is missing", digest(2)));
    let mut no_app = image(&app());
    no_app.as_object_mut().unwrap().remove("app");
    refused(&runtime(&one_app(), &none), &no_app, "has no app");
}

#[test]
fn mounts_are_met_once_and_apart() {
    let points = |points: Value| {
        let mut spec = app();
        spec["mountPoints"] = points;
        image(&spec)
    };
    let one = points(json!([{"name": "d", "path": "/d"}]));
    refused(&runtime(&one_app(), &json!([])), &one, "mount point d at \"/d\" has no volume");
    let host = |fulfills: &Value| json!({"kind": "host", "source": "/srv", "fulfills": fulfills});
    let both = json!([host(&json!(["d"])), host(&json!(["d"]))]);
    refused(&runtime(&one_app(), &both), &one, "two volumes for mount point d");
    let nested = points(json!([{"name": "d", "path": "/d"}, {"name": "e", "path": "/d/e"}]));
    refused(&runtime(&one_app(), &json!([host(&json!(["d", "e"]))])), &nested, "overlap");
    let whole = points(json!([{"name": "d", "path": "/"}]));
    refused(&runtime(&one_app(), &json!([host(&json!(["d"]))])), &whole, "would hide the app");
}

#[test]
fn foreign_platforms_are_refused() {
    for (label, value) in [("arch", "s390x"), ("os", "freebsd")] {
        let mut foreign = image(&app());
        foreign["labels"] = json!([{"name": label, "value": value}]);
        refused(&runtime(&one_app(), &json!([])), &foreign, &format!("for {label} \"{value}\""));
    }
    let mut native = image(&app());
    native["labels"] = json!([{"name": "os", "val": "linux"}, {"name": "version", "val": "1"}]);
    assert!(assemble(&runtime(&one_app(), &json!([])), &native).is_ok());
}

#[test]
fn invalid_values_are_refused_where_they_stand() {
    let cases: &[(&str, Value, &str)] = &[
        ("exec", json!([]), "expected a program"),
        ("exec", json!(["+/bin/sh"]), "expected an absolute path"),
        ("exec", json!(["bin/sh"]), "expected an absolute path"),
        ("exec", json!(["/a\u{0}"]), "expected no NUL"),
        ("user", json!("-1"), "invalid user or group"),
        ("workingDirectory", json!("~"), "expected an absolute path"),
        ("workingDirectory", json!("/a/../b"), "expected no"),
        ("environment", json!([{"name": "A=B", "value": ""}]), "invalid environment variable name"),
        ("eventHandlers", json!([{"name": "pre-stop", "exec": ["/a"]}]), "unknown event handler"),
        ("eventHandlers", json!([{"name": "post-stop", "exec": ["-/bin/x"]}]), "expected an absolute path"),
        ("supplementaryGIDs", json!([18_446_744_073_709_551_615_u64]), "invalid JSON"),
        ("mountPoints", json!([{"name": "D", "path": "/d"}]), "invalid volume name"),
    ];
    for (field, value, why) in cases {
        let mut spec = app();
        spec[*field] = value.clone();
        refused(&runtime(&one_app(), &json!([])), &image(&spec), why);
    }
}

#[test]
fn manifests_of_another_kind_or_version_are_refused() {
    let manifest = runtime(&one_app(), &json!([]));
    for (field, value) in
        [("acKind", "ImageManifest"), ("acVersion", "0.0.0"), ("acVersion", "1.2"), ("uuid", "x")]
    {
        let mut bad = manifest.clone();
        bad[field] = json!(value);
        assert!(assemble(&bad, &image(&app())).is_err(), "{field} {value}");
    }
    let mut other_pod = manifest;
    other_pod["uuid"] = json!("11111111-2222-4333-8444-555555555555");
    refused(&other_pod, &image(&app()), "the manifest is of pod 11111111");
}
