// SPDX-License-Identifier: Apache-2.0
//! Pods put together from manifests, and the ways in which that is refused.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

use std::collections::BTreeMap;

use pod::digest::Digest;
use pod::manifest::{ImageManifest, Manifest, Restart};
use pod::{Pod, Result, Source};
use serde_json::{Value, json};

const ID: &str = "6733c088-a507-4694-aabf-ae0bc1ccaaff";

fn digest(n: u8) -> Digest {
    Digest::Sha256([n; 32])
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
    let source = Source::Host { path: "/srv/a:b\\c".parse().unwrap(), recursive: true };
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
                    "environment": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
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
fn null_is_an_empty_list() {
    let mut spec = app();
    for field in [
        "eventHandlers",
        "mountPoints",
        "ports",
        "isolators",
        "annotations",
        "environment",
        "supplementaryGIDs",
    ] {
        spec[field] = Value::Null;
    }
    let mut image = image(&spec);
    image["labels"] = Value::Null;
    image["annotations"] = Value::Null;
    let entry =
        json!({"name": "a", "image": {"id": digest(1)}, "mounts": null, "annotations": null, "app": null});
    let none = json!({"volumes": null, "isolators": null, "annotations": null, "ports": null});
    assert!(assemble(&pod_manifest(&entry, &none), &image).is_ok());
    let mut runtime = runtime(&one_app(), &Value::Null);
    runtime["apps"][0]["isolators"] = Value::Null;
    assert!(assemble(&runtime, &image).is_ok());
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
        ("supplementaryGIDs", json!([1, 4_294_967_295_u32]), "invalid group 4294967295"),
        ("supplementaryGIDs", json!([65_535]), "invalid group 65535"),
        ("mountPoints", json!([{"name": "D", "path": "/d"}]), "invalid volume name"),
        ("ports", json!([{"name": "web", "protocol": "tcp", "port": 0}]), "invalid port number 0"),
        ("ports", json!([{"name": "web", "protocol": "tcp", "port": 70_000}]), "invalid port number 70000"),
        (
            "isolators",
            json!([{"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_X"]}}]),
            "unknown capability",
        ),
        (
            "isolators",
            json!([{"name": "os/linux/seccomp-retain-set", "value": {"set": ["x y"]}}]),
            "invalid system call",
        ),
        (
            "annotations",
            json!([{"name": "gantry/restart", "value": "x"}]),
            "expected no, on-failure or always",
        ),
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
fn the_closest_annotation_counts() {
    let mut image = image(&app());
    image["annotations"] = json!([{"name": "gantry/restart", "value": "always"},
                                  {"name": "gantry/stop-timeout", "value": "1"}]);
    image["app"]["annotations"] = json!([{"name": "gantry/stop-timeout", "value": "2"}]);
    let own = json!({"name": "a", "image": {"id": digest(1)},
                     "annotations": [{"name": "gantry/stop-timeout", "value": "4"}]});
    let stop = |manifest: &Value| {
        let app = assemble(manifest, &image).unwrap().apps.remove(0);
        (app.stop_timeout.unwrap(), app.restart)
    };
    let of_pod = json!({"annotations": [{"name": "gantry/stop-timeout", "value": "3"}]});
    assert_eq!(stop(&runtime(&one_app(), &json!([]))), (2, Restart::Always));
    assert_eq!(stop(&pod_manifest(&json!({"name": "a", "image": {"id": digest(1)}}), &of_pod)).0, 3);
    assert_eq!(stop(&pod_manifest(&own, &of_pod)).0, 4);
}

#[test]
fn limits_of_the_pod_are_the_pods() {
    let app_entry = json!({"name": "a", "image": {"id": digest(1)}, "readOnlyRootFS": true});
    let limits = json!({"isolators": [
        {"name": "resource/memory", "value": {"limit": "1G"}},
        {"name": "os/linux/no-new-privileges", "value": true},
        {"name": "os/unix/sysctl", "value": {}},
    ]});
    let pod = assemble(&pod_manifest(&app_entry, &limits), &image(&app())).unwrap();
    assert_eq!(pod.memory.limit.unwrap().units(), 1_000_000_000);
    assert!(pod.apps[0].read_only_root);
    assert_eq!(pod.apps[0].isolators.no_new_privileges, None);
    assert_eq!(pod.warnings.len(), 2, "{:?}", pod.warnings);
}

#[test]
fn a_pod_can_lift_an_images_filter() {
    let retain = |set: &[&str]| json!([{"name": "os/linux/seccomp-retain-set", "value": {"set": set}}]);
    let mut spec = app();
    spec["isolators"] = retain(&["read"]);
    let seccomp = |isolators: Value, image: &Value| {
        let mut manifest = runtime(&one_app(), &json!([]));
        manifest["apps"][0]["isolators"] = isolators;
        assemble(&manifest, image).map(|mut pod| pod.apps.remove(0).isolators.seccomp)
    };
    assert!(seccomp(json!([]), &image(&spec)).unwrap().is_some());
    assert_eq!(seccomp(retain(&["@appc.io/all"]), &image(&spec)), Ok(None));
    spec["isolators"] = retain(&["@appc.io/all"]);
    assert_eq!(seccomp(json!([]), &image(&spec)), Ok(None));
    assert!(seccomp(retain(&["read"]), &image(&spec)).unwrap().is_some());
    // Of another machine's calls nothing is known, whoever asks for a filter.
    let mut foreign = image(&spec);
    foreign["labels"] = json!([{"name": "arch", "value": "i386"}]);
    if cfg!(target_arch = "x86_64") {
        assert_eq!(seccomp(json!([]), &foreign), Ok(None));
        assert!(seccomp(retain(&["read"]), &foreign).unwrap_err().to_string().contains("i386"));
    }
}

#[test]
fn sockets_are_for_the_ports_that_ask_for_them() {
    let mut spec = app();
    spec["ports"] = json!([
        {"name": "web", "protocol": "tcp", "port": 80, "count": 2, "socketActivated": true},
        {"name": "dns", "protocol": "udp", "port": 53, "socketActivated": true},
        {"name": "own", "protocol": "tcp", "port": 99},
    ]);
    let image = image(&spec);
    let sockets = |manifest: &Value| -> Result<(Vec<String>, Vec<String>)> {
        let pod = assemble(manifest, &image)?;
        let ports = pod.apps[0].sockets.iter();
        Ok((ports.map(|s| format!("{} {} {}", s.name, s.protocol, s.port)).collect::<Vec<_>>(), pod.warnings))
    };
    let (own, warnings) = sockets(&runtime(&one_app(), &json!([]))).unwrap();
    assert_eq!(
        (own, warnings.len()),
        (vec!["web tcp 80".into(), "web tcp 81".into(), "dns udp 53".into()], 0)
    );
    let entry = json!({"name": "a", "image": {"id": digest(1)}});
    let ports = json!({"ports": [{"name": "web", "hostPort": 8080}, {"name": "own", "hostPort": 98}]});
    let (moved, warnings) = sockets(&pod_manifest(&entry, &ports)).unwrap();
    for every in [json!(null), json!("0.0.0.0"), json!("[::]")] {
        let port = json!({"name": "web", "hostPort": 8080, "hostIP": every});
        assert!(sockets(&pod_manifest(&entry, &json!({"ports": [port]}))).is_ok(), "{every}");
    }
    assert_eq!(moved[..2], ["web tcp 8080", "web tcp 8081"]);
    assert!(warnings[0].contains("hostPort 98 of port own is not enforced"), "{warnings:?}");
    for (ports, why) in [
        (json!([{"name": "none", "hostPort": 1}]), "expected an app with a port of this name"),
        (json!([{"name": "web", "hostPort": 65_535}]), "above 65535"),
        (json!([{"name": "web", "hostPort": 0}]), "invalid port number 0"),
        (
            json!([{"name": "web", "hostPort": 1, "hostIP": "127.0.0.1"}]),
            "hostIP \"127.0.0.1\": expected none",
        ),
        (json!([{"name": "web", "hostPort": 1}, {"name": "web", "hostPort": 2}]), "two ports web"),
    ] {
        refused(&pod_manifest(&entry, &json!({"ports": ports})), &image, why);
    }
    let both = json!([{"name": "a", "imageID": digest(1)}, {"name": "b", "imageID": digest(1)}]);
    refused(&runtime(&both, &json!([])), &image, "as one of app a");
}

#[test]
fn mounts_in_the_pods_own_places_are_refused() {
    for path in ["/proc", "/sys/x", "/dev/shm"] {
        let mut spec = app();
        spec["mountPoints"] = json!([{"name": "d", "path": path}]);
        let volumes = json!([{"kind": "empty", "fulfills": ["d"]}]);
        refused(&runtime(&one_app(), &volumes), &image(&spec), "is the pod's own");
    }
}

#[test]
fn arguments_and_environment_are_bounded_together() {
    let word = "x".repeat(100_000);
    let mut spec = app();
    spec["exec"] = json!(std::iter::once("/a".to_owned()).chain(vec![word.clone(); 20]).collect::<Vec<_>>());
    assert!(assemble(&runtime(&one_app(), &json!([])), &image(&spec)).is_ok());
    spec["environment"] = json!([{"name": "A", "value": word}]);
    refused(&runtime(&one_app(), &json!([])), &image(&spec), "expected at most 2064384");
    spec["exec"] = json!(["/a"]);
    spec["environment"] = json!([{"name": "AB", "value": "x".repeat(131_070)}]);
    refused(&runtime(&one_app(), &json!([])), &image(&spec), "expected at most 131071");
}
