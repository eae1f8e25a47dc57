// SPDX-License-Identifier: Apache-2.0
//! A stand-in for the specification's own validator, which checks an executor from within: an app `main` with handlers
//! and an app `sidekick` meet in a volume `database`, in images that have nothing but the program.

use serde_json::{Value, json};
use testing::rootfs::{Node, Rootfs};

use crate::pod_0_8::WITH_TOKEN;
use crate::subject::{Subject, exec};

/// The standard PATH (appc spec, execution environment).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DIRECTORY: &str = "/opt/validator";

/// Returns a pod whose manifest is of 0.8.
pub(crate) fn of_0_8() -> Subject {
    let main = json!({"image": "example.com/validator", "algorithm": "sha512",
                      "annotations": {"created": "2014-10-27T19:32:27Z", "lorem": "of the pod", "more": "é"}});
    let sidekick = json!({"image": "example.com/validator", "algorithm": "sha512",
                          "annotations": {"created": "2014-10-27T19:32:27Z", "lorem": "ipsum"}});
    let mut expectations = roles(&json!({
        "PATH": PATH, "AC_APP_NAME": "main", "AC_METADATA_URL": WITH_TOKEN, "container": "gantry",
        "IN_VALIDATOR": "correct",
    }));
    let of_main = &mut expectations["main"];
    of_main["directory"] = json!(DIRECTORY);
    of_main["metadata_form"] = json!("0.8");
    of_main["metadata_pod"] = json!({"kind": "PodManifest", "annotations": {"ip-address": "10.1.2.3"}});
    of_main["metadata_apps"] = json!({"main": main, "sidekick": sidekick});
    of_main["metadata_signature"] = json!(64);
    of_main["metadata_refusals"] = json!({
        "token": 401, "no-token": 401, "app": 404, "entry": 404, "method": 405, "sign-by-get": 405, "field": 400,
    });
    let pod = json!({
        "acKind": "PodManifest",
        "acVersion": "0.8.11",
        "apps": [
            {"name": "main", "image": {"id": "SHA512"},
             "annotations": [{"name": "lorem", "value": "of the pod"}, {"name": "more", "value": "é"}]},
            {"name": "sidekick", "image": {"id": "SHA512"}, "app": sidekick_app()},
        ],
        "volumes": [
            {"name": "database", "kind": "empty", "mode": "1777", "uid": 0, "gid": 0},
            {"name": "config", "kind": "host", "source": "HOST/config", "readOnly": true},
        ],
        "annotations": [{"name": "ip-address", "value": "10.1.2.3"}],
    });
    let mut app = main_app();
    app["workingDirectory"] = json!(DIRECTORY);
    app["environment"] = json!([{"name": "IN_VALIDATOR", "value": "correct"}]);
    let image = json!({
        "acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/validator", "app": app,
        "annotations": [{"name": "created", "value": "2014-10-27T19:32:27Z"}, {"name": "lorem", "value": "ipsum"}],
    });
    Subject { rootfs: rootfs(), images: vec![image], pod: Some(pod), arguments: vec![], expectations }
}

/// Returns a pod whose main app attacks the metadata service, with these users.
pub(crate) fn attacker(users: &str) -> Subject {
    let mut subject = of_0_8();
    let annotations = &mut subject.pod.as_mut().unwrap()["annotations"];
    annotations.as_array_mut().unwrap().push(json!({"name": "gantry/users", "value": users}));
    let of_main = &mut subject.expectations["main"];
    of_main.as_object_mut().unwrap().retain(|check, _| !check.starts_with("metadata"));
    of_main["metadata_crowd"] = json!(600);
    of_main["metadata_nonsense"] = json!([431, 413, 400, 501, 400]);
    of_main["metadata_process"] = json!("metadata");
    subject
}

/// Gives a pod of 0.8 this network.
pub(crate) fn give_network(subject: &mut Subject, network: &str) {
    let annotations = &mut subject.pod.as_mut().unwrap()["annotations"];
    annotations.as_array_mut().unwrap().push(json!({"name": "gantry/net", "value": network}));
    let mut expected =
        json!({"kind": "PodManifest", "annotations": {"ip-address": "10.1.2.3", "gantry/net": network}});
    if testing::users::are_hosts() {
        expected["annotations"]["gantry/users"] = json!("host");
    }
    subject.expect("main", "metadata_pod", expected);
}

/// Returns a pod whose manifest is of 0.1, as the installer writes it from images of 0.1.
pub(crate) fn of_0_1() -> Subject {
    let app = |image: &str, annotations: Value| json!({"image": image, "algorithm": "sha256", "annotations": annotations});
    let mut expectations = roles(&json!({
        "PATH": PATH, "AC_APP_NAME": "main", "AC_METADATA_URL": "http://169.254.169.255", "container": "gantry",
        "IN_VALIDATOR": "correct", "USER": "root", "LOGNAME": "root", "HOME": "/root", "SHELL": "/bin/sh",
    }));
    let of_main = &mut expectations["main"];
    of_main["directory"] = json!("/");
    of_main["metadata_form"] = json!("0.1");
    of_main["metadata_pod"] = json!({"kind": "ContainerRuntimeManifest", "annotations": {}});
    of_main["metadata_apps"] = json!({
        "main": app("example.com/main", json!({"created": "2014-10-27T19:32:27Z", "lorem": "ipsum"})),
        "sidekick": app("example.com/sidekick", json!({})),
    });
    of_main["metadata_signature"] = json!(32);
    of_main["metadata_refusals"] =
        json!({"app": 404, "entry": 404, "method": 405, "sign-by-get": 405, "field": 400});
    let image = |name: &str, app: Value, annotations: Value| {
        json!({"acKind": "ImageManifest", "acVersion": "0.1.1", "name": format!("example.com/{name}"), "app": app,
               "annotations": annotations})
    };
    let mut main = main_app();
    main["environment"] = json!({"IN_VALIDATOR": "correct"});
    let annotations = json!({"created": "2014-10-27T19:32:27Z", "lorem": "ipsum"});
    let volumes = ["database,kind=empty,mode=1777", "config,kind=host,source=HOST/config,readOnly=true"];
    Subject {
        rootfs: rootfs(),
        images: vec![image("main", main, annotations), image("sidekick", sidekick_app(), json!({}))],
        pod: None,
        arguments: volumes.iter().flat_map(|volume| ["--volume".to_owned(), (*volume).to_owned()]).collect(),
        expectations,
    }
}

/// Returns a tree that has the program and a directory to work in, and no account files.
fn rootfs() -> Rootfs {
    let program = Node::File(0o755, std::fs::read(testing::program("conformance")).unwrap());
    Rootfs::default().with("conformance", program).with("opt/validator", Node::Directory(0o755))
}

fn mount_points() -> Value {
    json!([{"name": "database", "path": "/db", "readOnly": false}, {"name": "config", "path": "/config"}])
}

fn main_app() -> Value {
    json!({
        "exec": exec("/conformance", "main", &[]), "user": "0", "group": "0",
        "eventHandlers": [
            {"name": "pre-start", "exec": exec("/conformance", "pre-start", &[])},
            {"name": "post-stop", "exec": exec("/conformance", "post-stop", &[])},
        ],
        "mountPoints": mount_points(),
        "ports": [{"name": "www", "protocol": "tcp", "port": 80}],
    })
}

fn sidekick_app() -> Value {
    json!({"exec": exec("/conformance", "sidekick", &[]), "user": "0", "group": "0", "mountPoints": mount_points()})
}

/// Returns what the roles leave for each other, and what all of an app's programs see.
fn roles(environment: &Value) -> Value {
    let there = json!({"kind": "f"});
    json!({
        "pre-start": {
            "missing": ["/main", "/poststop", "/prestart"], "make": ["/prestart"], "environment": environment,
        },
        "main": {
            "modes": {"/prestart": there}, "missing": ["/main", "/poststop"], "make": ["/main", "/db/main"],
            "environment": environment, "mounts": {"/db": ["rw"]}, "wait_for": ["/db/sidekick"],
        },
        "sidekick": {"announce": ["/db/sidekick"], "wait_for": ["/db/main"]},
        "post-stop": {
            "modes": {"/prestart": there, "/main": there}, "missing": ["/poststop"], "make": ["/poststop"],
            "environment": environment,
        },
    })
}
