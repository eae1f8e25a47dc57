// SPDX-License-Identifier: Apache-2.0
//! The controls of the stand-in for the specification's validator.

use serde_json::{Value, json};

use super::{Control, MAIN, POST_STOP, PRE_START, SIDEKICK, app, with_file};
use crate::subject::Subject;

/// Those of both versions. Where possible, the pod is changed, and the expectation stays.
pub(super) const OF_BOTH: &[Control] = &[
    (PRE_START, "missing", |s| with_file(s, "main", "")),
    (PRE_START, "make", |s| s.expect("pre-start", "make", json!(["/config/prestart"]))),
    (PRE_START, "environment", |s| app(s)["environment"] = Value::Null),
    (MAIN, "modes", |s| {
        app(s)["eventHandlers"].as_array_mut().unwrap().remove(0);
    }),
    (MAIN, "missing", |s| with_file(s, "poststop", "")),
    (MAIN, "make", |s| s.expect("main", "make", json!(["/config/main", "/db/main"]))),
    (MAIN, "environment", |s| app(s)["environment"] = Value::Null),
    (MAIN, "mounts", |s| app(s)["mountPoints"][0]["readOnly"] = json!(true)),
    (MAIN, "wait_for", |s| {
        s.expect("sidekick", "wait_for", json!([]));
        s.expect("sidekick", "announce", json!(["/db/another"]));
    }),
    (SIDEKICK, "announce", |s| {
        s.expect("main", "wait_for", json!([]));
        s.expect("sidekick", "announce", json!(["/config/sidekick"]));
    }),
    (SIDEKICK, "wait_for", |s| s.expect("sidekick", "wait_for", json!(["/db/nobody-makes-it"]))),
    (POST_STOP, "modes", |s| s.expect("main", "make", json!(["/db/main"]))),
    (POST_STOP, "missing", |s| s.expect("main", "make", json!(["/main", "/db/main", "/poststop"]))),
    (POST_STOP, "make", |s| s.expect("post-stop", "make", json!(["/config/poststop"]))),
    (POST_STOP, "environment", |s| app(s)["environment"] = Value::Null),
    (MAIN, "metadata_signature", |s| s.expect("main", "metadata_signature", json!(20))),
];

/// Those of 0.8.
pub(super) const OF_0_8: &[Control] = &[
    (MAIN, "directory", |s| app(s)["workingDirectory"] = json!("/")),
    (MAIN, "metadata_pod", |s| s.pod.as_mut().unwrap()["annotations"][0]["value"] = json!("10.1.2.4")),
    (MAIN, "metadata_apps", |s| s.pod.as_mut().unwrap()["apps"][0]["annotations"] = json!([])),
    (MAIN, "metadata_signature", without_service),
    (MAIN, "metadata_refusals", without_service),
    (MAIN, "metadata_form", |s| s.expect("main", "metadata_form", json!("0.1"))),
];

/// Those of 0.1.
pub(super) const OF_0_1: &[Control] = &[
    (MAIN, "directory", |s| app(s)["workingDirectory"] = json!("/opt/validator")),
    (MAIN, "metadata_pod", |s| {
        s.expect("main", "metadata_pod", json!({"kind": "PodManifest", "annotations": {}}))
    }),
    (MAIN, "metadata_apps", |s| s.images[0]["annotations"]["lorem"] = json!("other")),
    (MAIN, "metadata_refusals", |s| s.expect("main", "metadata_refusals", json!({"app": 200}))),
    (MAIN, "metadata_form", |s| s.expect("main", "metadata_form", json!("0.8"))),
];

/// Those of an app that attacks the service.
pub(super) const OF_ATTACKER: &[Control] = &[
    (MAIN, "metadata_crowd", without_service),
    (MAIN, "metadata_nonsense", |s| s.expect("main", "metadata_nonsense", json!([431, 413, 400, 501, 200]))),
    (MAIN, "metadata_process", |s| s.expect("main", "metadata_process", json!("conformance"))),
];

/// Makes it a pod without a metadata service.
fn without_service(subject: &mut Subject) {
    let annotations = subject.pod.as_mut().unwrap()["annotations"].as_array_mut().unwrap();
    annotations.push(json!({"name": "gantry/metadata", "value": "none"}));
}
