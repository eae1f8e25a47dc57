// SPDX-License-Identifier: Apache-2.0
//! Pods put together from manifests, and the ways in which that is refused.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

mod settings;
mod values;

use std::collections::BTreeMap;

use pod::id::{ImageId, TreeId};
use pod::manifest::{ImageManifest, Links, Manifest, Ownership};
use pod::{Pod, Result, Source};
use serde_json::{Value, json};

const ID: &str = "6733c088-a507-4694-aabf-ae0bc1ccaaff";

fn digest(n: u8) -> ImageId {
    TreeId::of_tar([n; 32].into()).as_image()
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
    let source =
        Source::Host { path: "/srv/a:b\\c".parse().unwrap(), recursive: true, links: Links::Refused };
    assert_eq!(app.mounts[0].source, source);
    assert!(app.mounts[0].read_only);
}

#[test]
fn a_pod_of_0_8_overrides_its_image() {
    let manifest = json!({
        "acKind": "PodManifest", "acVersion": "0.8.11",
        "apps": [{
            "name": "b", "image": {"id": digest(1)},
            "app": {"exec": ["other"], "user": "u", "group": "g",
                    "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                    "isolators": [{"name": "resource/x", "value": {"limit": "1"}}]},
            "mounts": [{"volume": "v", "path": "/mnt"}]}],
        "volumes": [{"name": "v", "kind": "host", "source": "/srv", "readOnly": true}],
    });
    let pod = assemble(&manifest, &image(&app())).unwrap();
    let app = &pod.apps[0];
    assert_eq!((app.name.as_str(), app.exec.program()), ("b", "other"));
    assert_eq!(app.environment.len(), 2);
    assert!(app.mounts[0].read_only);
    assert_eq!(pod.warnings, ["isolator resource/x of app b is not known, and not enforced"]);
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
    let bare = assemble(&runtime(&one_app(), &json!([])), &one).unwrap();
    assert!(matches!(&bare.apps[0].mounts[0].source, Source::Empty { app: Some(_), is_copied: false, .. }));
    assert!(bare.warnings[0].contains("mount point d at \"/d\" has no volume"), "{:?}", bare.warnings);
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

fn pod_manifest(app: &Value, more: &Value) -> Value {
    let mut manifest = json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": [app]});
    manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    manifest
}

#[test]
fn images_are_those_that_the_pod_means() {
    let mut image = image(&app());
    image["labels"] = json!([{"name": "version", "value": "1.0"}, {"name": "os", "value": "linux"}]);
    let with = |more: Value| {
        let mut named = json!({"id": digest(1)});
        named.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        pod_manifest(&json!({"name": "a", "image": named}), &json!({}))
    };
    let label = |name: &str, value: &str| json!({"labels": [{"name": name, "value": value}]});
    for good in [
        json!({"name": "example.com/a"}),
        label("version", "1.0"),
        label("channel", "x"),
        json!({"labels": null}),
    ] {
        assert!(assemble(&with(good.clone()), &image).is_ok(), "{good}");
    }
    refused(
        &with(json!({"name": "example.com/b"})),
        &image,
        "is called example.com/a: expected example.com/b",
    );
    refused(&with(label("version", "2.0")), &image, "has label \"version\" \"1.0\": expected \"2.0\"");
    let twice = json!({"labels": [{"name": "a", "value": ""}, {"name": "a", "value": ""}]});
    refused(&with(twice), &image, "duplicate label \"a\"");
}

#[test]
fn a_mount_can_have_a_volume_of_its_own() {
    let empty = |name: &str, mode: &str| json!({"name": name, "kind": "empty", "mode": mode});
    let own = |path: &str, volume: Value| json!({"volume": "v", "path": path, "appVolume": volume});
    let host = json!({"name": "w", "kind": "host", "source": "/own", "readOnly": true, "recursive": false});
    let mut spec = app();
    spec["mountPoints"] = json!([{"name": "v", "path": "/c", "readOnly": true}]);
    let with = |mounts: &Value| {
        let entry = json!({"name": "a", "image": {"id": digest(1)}, "mounts": mounts});
        let volumes = json!([{"name": "v", "kind": "host", "source": "/pods"}]);
        pod_manifest(&entry, &json!({"volumes": volumes}))
    };
    let mounts = json!([
        {"volume": "v", "path": "/a", "appVolume": null}, own("/b", host), own("/c", empty("v", "0700")),
        own("/d", empty("v", "0700"))
    ]);
    let mounts = assemble(&with(&mounts), &image(&spec)).unwrap().apps.remove(0).mounts;
    let host = |path: &str, recursive| Source::Host {
        path: path.parse().unwrap(),
        recursive,
        links: Links::Refused,
    };
    let ownership = Ownership { mode: 0o700, uid: 0, gid: 0 };
    let (volume, whose) = ("v".parse().unwrap(), "a".parse().unwrap());
    let empty_one = Source::Empty { volume, app: Some(whose), ownership, capacity: None, is_copied: false };
    let found: Vec<_> = mounts.iter().map(|mount| (&mount.source, mount.read_only)).collect();
    let expected = [
        (&host("/pods", true), false),
        (&host("/own", false), true),
        (&empty_one, true),
        (&empty_one, false),
    ];
    assert_eq!(found, expected);

    for (mounts, why) in [
        (json!([own("/a", empty("v", "0700")), own("/a/b", empty("w", "0700"))]), "overlap"),
        (json!([own("/a", empty("v", "0700")), own("/b", empty("v", "0755"))]), "two different volumes v"),
        (json!([own("/a", json!({"name": "v", "kind": "host"}))]), "volume v: kind host has no source"),
        (json!([own("/a", json!({"kind": "empty"}))]), "a volume has no name"),
    ] {
        refused(&with(&mounts), &image(&app()), why);
    }
}

#[test]
fn mounts_in_the_pods_own_places_are_refused() {
    let own = "is the pod's own";
    let common = "it is what all apps have there";
    for (path, why) in [
        ("/proc", own),
        ("/sys/x", own),
        ("/dev", common),
        ("/dev/shm", common),
        ("/dev/null", common),
        ("/dev/pts/0", common),
    ] {
        let mut spec = app();
        spec["mountPoints"] = json!([{"name": "d", "path": path}]);
        let volumes = json!([{"kind": "empty", "fulfills": ["d"]}]);
        refused(&runtime(&one_app(), &volumes), &image(&spec), why);
    }
}

#[test]
fn volumes_in_memory_belong_to_users_of_the_app() {
    let with = |users: &str, uid: u32, size: &Value| {
        let volume = json!({"name": "v", "kind": "empty", "uid": uid, "size": size});
        let entry = json!({"name": "a", "image": {"id": digest(1)},
                           "mounts": [{"volume": "v", "path": "/v", "appVolume": volume}]});
        pod_manifest(&entry, &json!({"annotations": [{"name": "gantry/users", "value": users}]}))
    };
    for (users, uid, size) in
        [("own", 65_535, json!("1M")), ("own", 65_536, Value::Null), ("host", 65_536, json!("1M"))]
    {
        assert!(assemble(&with(users, uid, &size), &image(&app())).is_ok(), "{users} {uid} {size}");
    }
    for users in ["own", "shared"] {
        let why = "app a: mount at \"/v\": user 65536: expected less than 65536";
        refused(&with(users, 65_536, &json!("1M")), &image(&app()), why);
    }
}

#[test]
fn what_a_pods_apps_share_is_limited_by_the_pod() {
    let entry = |isolators: &Value| {
        let mut spec = app();
        spec["isolators"] = isolators.clone();
        json!({"name": "a", "image": {"id": digest(1)}, "app": spec})
    };
    let shm = json!([{"name": "resource/shm", "value": {"limit": "1Mi"}}]);
    let both = json!([shm[0], {"name": "resource/tasks", "value": {"limit": 9}}]);
    let pod = assemble(&pod_manifest(&entry(&json!([])), &json!({"isolators": both})), &image(&app()));
    let pod = pod.unwrap();
    assert_eq!((pod.shm.bytes(), pod.tasks, pod.warnings.len()), (1 << 20, Some(9), 0));
    let pod = assemble(&pod_manifest(&entry(&shm), &json!({})), &image(&app())).unwrap();
    assert_eq!((pod.shm.bytes(), pod.tasks, pod.warnings.len()), (64 << 20, None, 1), "{:?}", pod.warnings);
    assert!(
        pod.warnings[0].starts_with("isolator resource/shm of app a is not enforced"),
        "{:?}",
        pod.warnings
    );
    let tmp = json!({"isolators": [{"name": "resource/tmp", "value": {"limit": "1Mi"}}]});
    let pod = assemble(&pod_manifest(&entry(&json!([])), &tmp), &image(&app())).unwrap();
    assert!(pod.warnings[0].starts_with("isolator resource/tmp of the pod is not known for pods"));
}
