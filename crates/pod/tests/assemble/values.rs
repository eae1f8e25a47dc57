// SPDX-License-Identifier: Apache-2.0
//! Values that no field can have, or that stand for none.

use pod::user::Person;
use serde_json::{Value, json};

use super::{app, assemble, digest, image, one_app, pod_manifest, refused, runtime};

#[test]
fn null_is_a_field_that_is_not_there() {
    let mut spec = app();
    for field in [
        "workingDirectory",
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
    for field in ["labels", "annotations", "dependencies", "pathWhitelist"] {
        image[field] = Value::Null;
    }
    let named = json!({"id": digest(1), "name": null, "labels": null});
    let entry = json!({
        "name": "a", "image": named, "mounts": null, "annotations": null, "app": null, "readOnlyRootFS": null
    });
    let none = json!({"volumes": null, "isolators": null, "annotations": null, "ports": null});
    assert!(assemble(&pod_manifest(&entry, &none), &image).is_ok());
    let mut runtime = runtime(&one_app(), &Value::Null);
    runtime["apps"][0]["isolators"] = Value::Null;
    runtime["apps"][0]["annotations"] = Value::Null;
    runtime["isolators"] = Value::Null;
    runtime["annotations"] = Value::Null;
    assert!(assemble(&runtime, &image).is_ok());

    let port = json!({"name": "web", "protocol": "tcp", "port": 80, "count": null, "socketActivated": null});
    image["app"]["ports"] = json!([port]);
    image["app"]["mountPoints"] = json!([{"name": "d", "path": "/d", "readOnly": null}]);
    let empty = json!({
        "name": "d", "kind": "empty", "source": null, "readOnly": null, "recursive": null, "mode": null,
        "uid": null, "gid": null, "fulfills": null
    });
    let ports = json!([{"name": "web", "hostPort": 80, "hostIP": null}]);
    assert_eq!(
        assemble(&pod_manifest(&entry, &json!({"volumes": [empty], "ports": ports})), &image).map(|_| ()),
        Ok(())
    );
    for (required, why) in [("exec", "no program"), ("user", "null"), ("group", "null")] {
        let mut bad = image.clone();
        bad["app"][required] = Value::Null;
        refused(&pod_manifest(&entry, &none), &bad, why);
    }
}

#[test]
fn invalid_values_are_refused_where_they_stand() {
    let cases: &[(&str, Value, &str)] = &[
        ("exec", json!([]), "no program"),
        ("exec", json!([""]), "expected a program"),
        ("exec", json!(["/a\u{0}"]), "expected no NUL"),
        ("user", json!("-1"), "invalid user or group"),
        ("workingDirectory", json!("~"), "expected an absolute path"),
        ("workingDirectory", json!("/a/../b"), "expected no"),
        ("environment", json!([{"name": "A=B", "value": ""}]), "invalid environment variable name"),
        ("eventHandlers", json!([{"name": "pre-stop", "exec": ["/a"]}]), "unknown event handler"),
        ("eventHandlers", json!([{"name": "post-stop", "exec": []}]), "expected a program"),
        ("supplementaryGIDs", json!([18_446_744_073_709_551_615_u64]), "expected u32"),
        ("supplementaryGIDs", json!(vec![1; 65_536]), "65536 supplementary groups: expected at most 65535"),
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
        let entry = json!({"name": "b", "image": {"id": digest(1)}, "app": spec});
        let error = assemble(&pod_manifest(&entry, &json!({})), &image(&app())).unwrap_err().to_string();
        assert!(error.starts_with("app b: ") && !error.contains("JSON") && error.contains(why), "{error}");
    }
    let mut many = app();
    many["supplementaryGIDs"] = json!(vec![1; 65_535]);
    assert!(assemble(&runtime(&one_app(), &json!([])), &image(&many)).is_ok());
}

#[test]
fn names_are_as_the_manifests_version_has_them() {
    let mut spec = app();
    spec["mountPoints"] = json!([{"name": "data/one", "path": "/d"}]);
    spec["ports"] = json!([{"name": "web-", "protocol": "tcp", "port": 80}]);
    let mut old = image(&spec);
    (old["acVersion"], old["name"]) = (json!("0.1.1"), json!("example.com/a--b"));
    let volumes = json!([{"kind": "empty", "fulfills": ["data/one"]}]);
    let apps =
        json!([{"name": "example.com/etcd", "imageID": digest(1)}, {"name": "..", "imageID": digest(1)}]);
    let pod = assemble(&runtime(&apps, &volumes), &old).unwrap();
    let names: Vec<_> = pod.apps.iter().map(|app| app.name.as_str()).collect();
    assert_eq!(names, ["example.comSetcd", "PP"]);
    assert_eq!(pod.apps[0].full_environment(None)["AC_APP_NAME"], "example.com/etcd");

    let entry = |name: &str| json!({"name": name, "image": {"id": digest(1), "name": "example.com/a--b"}});
    let more = json!({"volumes": [{"name": "data/one", "kind": "empty"}]});
    assert!(assemble(&pod_manifest(&entry("etcd"), &more), &old).is_ok(), "an image of 0.1 in a pod of 0.8");
    for name in ["example.com/etcd", "a--b", ".."] {
        refused(&pod_manifest(&entry(name), &more), &old, "invalid app name");
    }
    let mut overriding = entry("etcd");
    overriding["app"] = spec;
    refused(&pod_manifest(&overriding, &more), &old, "invalid volume name \"data/one\"");

    for (field, why) in [("mountPoints", "invalid port name \"web-\""), ("ports", "invalid volume name")] {
        let mut newer = old.clone();
        (newer["acVersion"], newer["name"]) = (json!("0.2.0"), json!("example.com/a"));
        newer["app"][field] = json!([]);
        refused(&runtime(&one_app(), &volumes), &newer, why);
    }
    let mut newer = old;
    (newer["acVersion"], newer["name"]) = (json!("0.8.11"), json!("example.com/a/"));
    refused(&runtime(&one_app(), &volumes), &newer, "invalid name \"example.com/a/\"");
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

#[test]
fn arguments_and_environment_are_bounded_together() {
    let sizes = |manifest: &Value, spec: &Value, person: Option<&Person>| {
        let pod = assemble(manifest, &image(spec)).unwrap();
        pod.apps[0].check_sizes(person).map_err(|error| error.to_string())
    };
    let old = runtime(&one_app(), &json!([]));
    let too_long = |sizes: Result<(), String>, why: &str| {
        let error = sizes.expect_err(why);
        assert!(error.contains(why), "{error}");
    };
    let word = "x".repeat(100_000);
    let mut spec = app();
    spec["exec"] = json!(std::iter::once("/a".to_owned()).chain(vec![word.clone(); 20]).collect::<Vec<_>>());
    assert_eq!(sizes(&old, &spec, None), Ok(()));
    let with_home = |home: String| Person { name: "u".into(), home, shell: "/bin/sh".into() };
    too_long(sizes(&old, &spec, Some(&with_home(word.clone()))), "expected at most 2064384");
    let mut handled = spec.clone();
    handled["eventHandlers"] = json!([{"name": "post-stop", "exec": spec["exec"]}]);
    handled["exec"] = json!(["/a"]);
    too_long(sizes(&old, &handled, Some(&with_home(word.clone()))), "arguments and environment of \"/a\"");
    spec["environment"] = json!([{"name": "A", "value": word}]);
    too_long(sizes(&old, &spec, None), "expected at most 2064384");

    spec["exec"] = json!(["/a"]);
    let longest = with_home("x".repeat(131_066));
    assert_eq!(sizes(&old, &spec, Some(&longest)), Ok(()));
    let longer = with_home("x".repeat(131_067));
    too_long(
        sizes(&old, &spec, Some(&longer)),
        "environment variable \"HOME\" of 131072 bytes: expected at most",
    );
    spec["environment"] = json!([{"name": "HOME", "value": "/"}]);
    assert_eq!(sizes(&old, &spec, Some(&longer)), Ok(()), "what is not passed on does not count");
    spec["environment"] = json!([{"name": "AB", "value": "x".repeat(131_070)}]);
    too_long(sizes(&old, &spec, None), "expected at most 131071");
}

#[test]
fn names_of_sockets_count_as_environment() {
    let sized = |words: usize| {
        let mut spec = app();
        let port = |number: usize| {
            let name = format!("{}{number}", "p".repeat(240));
            json!({"name": name, "protocol": "tcp", "port": number, "socketActivated": true})
        };
        spec["ports"] = (1..=250).map(port).collect();
        spec["exec"] = json!(
            std::iter::once("/a".to_owned()).chain(vec!["x".repeat(102_000); words]).collect::<Vec<_>>()
        );
        assemble(&runtime(&one_app(), &json!([])), &image(&spec)).unwrap().apps[0].check_sizes(None).is_ok()
    };
    assert!(sized(19) && !sized(20));
}
