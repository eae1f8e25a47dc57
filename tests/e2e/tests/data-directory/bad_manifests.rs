// SPDX-License-Identifier: Apache-2.0
//! What could only fail when a pod starts is found by `prepare`: in one line that names it, with nothing left behind.

use std::fs;

use gate::root_test;
use serde_json::{Value, json};
use testing::image::manifest;
use testing::pods::{Gantry, assert_says, image_id};
use testing::rootfs::{Node, Rootfs};

/// Returns a tree with a program, a file that is not one, a directory, and links to other places in it.
fn rootfs() -> Rootfs {
    Rootfs::default()
        .with("etc/passwd", Node::File(0o644, b"root:x:0:0:::\n".to_vec()))
        .with("a", Node::program())
        .with("bin/b", Node::program())
        .with("data/file", Node::File(0o644, b"no program".to_vec()))
        .with("link", Node::Link("/data".into()))
        .with("ahead", Node::Link("/none".into()))
        .with("kernel", Node::Link("/proc".into()))
}

/// Checks that preparing this image fails with 1, in one line that contains all of `parts`.
fn refused(image: &Value, arguments: &[&str], parts: &[&str]) {
    let gantry = Gantry::new();
    let image = gantry.image("bad", &rootfs(), image);
    let output = gantry.with_images("prepare", &[&image], arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{parts:?}: {error}");
    assert!(error.starts_with("error: ") && error.lines().count() == 1, "{parts:?}: {error}");
    // The error names the image's file or its app, and what is wrong: the manifest is valid JSON.
    assert!(error.contains("bad") && !error.contains("JSON"), "{parts:?}: {error}");
    assert_says(&error, parts);
    assert!(output.stdout.is_empty() && !gantry.dir().exists(), "{parts:?}");
}

fn app(change: impl FnOnce(&mut Value)) -> Value {
    let mut manifest = manifest("bad", &["/a"]);
    change(&mut manifest["app"]);
    manifest
}

#[root_test]
fn programs_and_directories_that_are_not_there() {
    let handler = |exec: Value| json!([{"name": "post-stop", "exec": exec}]);
    let cases: &[(Value, &[&str])] = &[
        (app(|a| a["exec"] = json!(["/none"])), &["app bad", "\"/none\" is not in the image"]),
        (app(|a| a["exec"] = json!(["/data/file"])), &["\"/data/file\" has mode 0644", "can execute"]),
        (app(|a| a["exec"] = json!(["/data"])), &["\"/data\"", "can be executed"]),
        (app(|a| a["exec"] = json!(["a"])), &["\"a\" is not in the image", "PATH", "/usr/bin"]),
        (
            app(|a| {
                a["exec"] = json!(["b"]);
                a["environment"] = json!([{"name": "PATH", "value": "/data:relative"}]);
            }),
            &["\"b\" is not in the image", "/data:relative"],
        ),
        (app(|a| a["eventHandlers"] = handler(json!(["/none"]))), &["post-stop handler", "\"/none\""]),
        (app(|a| a["workingDirectory"] = json!("/none")), &["working directory \"/none\""]),
        (
            app(|a| a["workingDirectory"] = json!("/data/file")),
            &["working directory", "expected a directory"],
        ),
    ];
    for (image, parts) in cases {
        refused(image, &[], parts);
    }
    // A host volume may contain anything by the time of the start; an empty volume of the pod is empty.
    let gantry = Gantry::new();
    let inside = app(|a| {
        a["exec"] = json!(["/volume/bin/program"]);
        a["workingDirectory"] = json!("/volume/work");
        a["mountPoints"] = json!([{"name": "v", "path": "/volume"}]);
    });
    let image = gantry.image("inside", &rootfs(), &inside);
    gantry.prepare(&[&image], &["--volume", "v,kind=host,source=/etc"]);
    refused(&inside, &["--volume", "v,kind=empty"], &["\"/volume/work\" is not there", "kind empty"]);
}

#[root_test]
fn programs_that_the_kernel_would_not_start() {
    let foreign = {
        let Node::File(mode, mut file) = Node::program() else { unreachable!("a program is a file") };
        file[18] = 21;
        Node::File(mode, file)
    };
    let file = |content: &str| Node::File(0o755, content.into());
    let cases: [(Node, &[&str]); 5] = [
        (file(""), &["\"/x\" is empty"]),
        (file("echo hello\n"), &["\"/x\" is neither a script nor a program", "#!"]),
        (file("#!/bin/none -e\n"), &["\"/x\": its interpreter \"/bin/none\" is not in the image"]),
        (foreign, &["\"/x\" is a program for PPC64"]),
        (
            Node::File(0o700, b"#!/a\n".to_vec()),
            &["\"/x\" has mode 0700 and owner 0:0", "user 1000 (group 7)"],
        ),
    ];
    let image = app(|a| {
        (a["exec"], a["user"], a["group"]) = (json!(["/x"]), json!("1000"), json!("7"));
    });
    for (node, parts) in cases {
        let gantry = Gantry::new();
        let image = gantry.image("bad", &rootfs().with("x", node), &image);
        let output = gantry.with_images("prepare", &[&image], &[]).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{parts:?}: {error}");
        assert!(parts.iter().all(|part| error.contains(part)), "{parts:?}: {error}");
        assert!(!gantry.dir().exists());
    }
}

#[root_test]
fn mounts_that_hide_or_are_hidden() {
    let volumes = ["--volume", "v,kind=empty", "--volume", "w,kind=empty"];
    let points = |one: &str, two: &str| {
        app(|a| a["mountPoints"] = json!([{"name": "v", "path": one}, {"name": "w", "path": two}]))
    };
    let cases: &[(&str, &str, &[&str])] = &[
        ("/x", "/x/y", &["mounts at \"/x\" and \"/x/y\" overlap"]),
        ("/x", "/x", &["overlap"]),
        ("/data/x", "/link/x", &["\"/data/x\" and \"/data/x\" overlap"]),
        ("/link/x/y", "/data/x", &["overlap"]),
        ("/proc/x", "/y", &["\"/proc/x\"", "the pod's own"]),
        ("/kernel/x", "/y", &["\"/proc/x\"", "the pod's own"]),
        ("/ahead/x", "/y", &["\"/ahead/x\"", "a link to nothing"]),
        ("/x", "/", &["would hide the app"]),
        ("/data/file", "/y", &["\"/data/file\"", "a directory", "a file"]),
    ];
    for (one, two, parts) in cases {
        refused(&points(one, two), &volumes, parts);
    }
    let file = ["--volume", "v,kind=host,source=/etc/passwd", "--volume", "w,kind=empty"];
    refused(&points("/data", "/y"), &file, &["\"/data\"", "a file", "a directory"]);
}

#[root_test]
fn images_in_which_the_pods_own_has_no_place() {
    let link = |to: &str| Node::Link(to.into());
    let file = || Node::File(0o644, Vec::new());
    let cases: [(&str, Node, &[&str]); 6] = [
        ("proc", link("/data"), &["/proc is a link"]),
        ("dev", file(), &["/dev is no directory"]),
        ("sys", link("/none"), &["/sys is a link"]),
        ("tmp", file(), &["/tmp is no directory"]),
        ("tmp", link("/none"), &["/tmp is a link"]),
        ("etc/localtime", Node::Directory(0o755), &["/etc/localtime is a directory"]),
    ];
    for (path, node, parts) in cases {
        let gantry = Gantry::new();
        let image = gantry.image("bad", &rootfs().with(path, node), &manifest("bad", &["/a"]));
        let output = gantry.with_images("prepare", &[&image], &[]).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{path}: {error}");
        assert!(parts.iter().all(|part| error.contains(part)), "{path}: {error}");
        assert!(!gantry.dir().exists());
    }
}

#[root_test]
fn isolators_ports_and_annotations_that_mean_nothing() {
    let isolators = |list: Value| app(|a| a["isolators"] = list);
    let set = |name: &str, set: &[&str]| json!({"name": format!("os/linux/{name}"), "value": {"set": set}});
    let port = |port: i64, count: i64| {
        app(|a| a["ports"] = json!([{"name": "web", "protocol": "tcp", "port": port, "count": count}]))
    };
    let annotation = |name: &str, value: &str| {
        let mut image = manifest("bad", &["/a"]);
        image["annotations"] = json!([{"name": name, "value": value}]);
        image
    };
    let both =
        json!([set("capabilities-retain-set", &["CAP_KILL"]), set("capabilities-remove-set", &["CAP_KILL"])]);
    let cases: &[(Value, &[&str])] = &[
        (isolators(both), &["capabilities-retain-set", "capabilities-remove-set", "expected one"]),
        (isolators(json!([set("capabilities-retain-set", &["CAP_FLY"])])), &["CAP_FLY", "CAP_NET_ADMIN"]),
        (isolators(json!([set("seccomp-retain-set", &["no_such_call"])])), &["no_such_call"]),
        (isolators(json!([set("seccomp-remove-set", &["execve"])])), &["execve"]),
        (isolators(json!([{"name": "resource/memory", "value": {"limit": "much"}}])), &["\\\"much\\\""]),
        (isolators(json!([{"name": "os/linux/oom-score-adj", "value": 2000}])), &["-1000 to 1000"]),
        (port(0, 1), &["port web", "1 to 65535"]),
        (port(70_000, 1), &["70000", "1 to 65535"]),
        (port(65_535, 2), &["65536", "1 to 65535"]),
        (annotation("gantry/restart", "sometimes"), &["gantry/restart", "on-failure"]),
        (annotation("gantry/restrat", "no"), &["gantry/restrat", "gantry/restart"]),
        (annotation("gantry/stop-timeout", "0"), &["gantry/stop-timeout", "1 to 86400"]),
    ];
    for (image, parts) in cases {
        let parts: Vec<String> = parts.iter().map(|part| part.replace("\\\"", "\"")).collect();
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        refused(image, &[], &parts);
    }
}

#[root_test]
fn arguments_that_are_longer_than_the_kernel_takes() {
    let long = |length: usize| "x".repeat(length);
    refused(&app(|a| a["exec"] = json!(["/a", long(131_072)])), &[], &["131072 bytes", "at most 131071"]);
    refused(&app(|a| a["exec"] = json!(["/a", long(100), "a\u{0}b"])), &[], &["expected no NUL"]);
    let many = std::iter::once("/a".to_owned()).chain(vec![long(100_000); 21]).collect::<Vec<_>>();
    refused(&app(|a| a["exec"] = json!(many)), &[], &["\"/a\"", "at most 2064384"]);
    let variable = json!([{"name": "LONG", "value": long(131_071)}]);
    refused(&app(|a| a["environment"] = variable), &[], &["LONG", "at most 131071"]);
}

#[root_test]
fn pod_manifests_that_do_not_fit_their_images() {
    let entry = |more: &Value| {
        let mut entry = json!({"name": "a", "image": {"id": "IMAGE"}});
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": [entry]})
    };
    let mut twice = entry(&json!({}));
    twice["apps"] = json!([twice["apps"][0], twice["apps"][0]]);
    let mut ports = entry(&json!({}));
    ports["ports"] = json!([{"name": "none", "hostPort": 80}]);
    let mut kind = entry(&json!({}));
    kind["volumes"] = json!([{"name": "v", "kind": "tape"}]);
    let cases: &[(Value, &[&str])] = &[
        (entry(&json!({"mounts": [{"volume": "none", "path": "/x"}]})), &["names volume none"]),
        (
            entry(&json!({"mounts": [{
                "volume": "v", "path": "/x", "appVolume": {"name": "own", "kind": "host", "source": "/nonexistent/x"}
            }]})),
            &["volume own", "source", "/nonexistent/x"],
        ),
        (entry(&json!({"image": {"id": format!("sha512-{}", "0".repeat(128))}})), &["sha512-000", "--image"]),
        (entry(&json!({"name": "A"})), &["invalid app name \"A\""]),
        (entry(&json!({"app": {"exec": ["/none"], "user": "0", "group": "0"}})), &["\"/none\""]),
        (twice, &["two apps are called a"]),
        (ports, &["port none", "expected an app"]),
        (kind, &["unknown volume kind \"tape\""]),
    ];
    for (pod, parts) in cases {
        let gantry = Gantry::new();
        let image = gantry.image("good", &rootfs(), &manifest("good", &["/a"]));
        let path = gantry.beside("pod.json");
        fs::write(&path, pod.to_string().replace("IMAGE", &image_id(&image))).unwrap();
        let mut command = gantry.with_images("prepare", &[&image], &["--pod-manifest"]);
        let output = command.arg(&path).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{parts:?}: {error}");
        for part in *parts {
            assert!(error.contains(part), "{error:?} should say {part:?}");
        }
        assert!(!gantry.dir().exists());
    }
}

#[root_test]
fn two_images_whose_names_make_one_app() {
    let gantry = Gantry::new();
    let one = gantry.image("one", &rootfs(), &manifest("a~b", &["/a"]));
    let two = gantry.image("two", &rootfs(), &manifest("a-b", &["/a"]));
    let output = gantry.with_images("prepare", &[&one, &two], &[]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("both make an app called a-b") && error.contains("--pod-manifest"), "{error}");
    assert!(!gantry.dir().exists());
}
