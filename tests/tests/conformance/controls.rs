// SPDX-License-Identifier: Apache-2.0
//! Negative controls: for every check, one thing that is otherwise, and the check must say so.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::rootfs::Node;

use crate::pod_0_8;
use crate::subject::Subject;

/// The role and check that must fail, and what makes it.
type Control = (&'static str, &'static str, fn(&mut Subject));

/// Where it can be, the pod is changed, and the expectation stands.
const CONTROLS: &[Control] = &[
    ("main", "arguments", |s| app(s)["exec"].as_array_mut().unwrap().push(json!("more"))),
    ("pre-start", "environment", |s| app(s)["environment"] = json!([{"name": "B", "value": "2"}])),
    ("pre-start", "user", |s| app(s)["user"] = json!("0")),
    ("main", "group", |s| app(s)["group"] = json!("0")),
    ("main", "groups", |s| app(s)["supplementaryGIDs"] = json!([27])),
    ("pre-start", "directory", |s| app(s)["workingDirectory"] = json!("/")),
    ("main", "bounding", |s| isolator(s, 0, json!({"set": ["CAP_KILL", "CAP_CHOWN"]}))),
    ("sidekick", "bounding", |s| sidekick(s)["isolators"] = json!([remove("CAP_KILL")])),
    ("sidekick", "effective", |s| sidekick(s)["isolators"] = json!([remove("CAP_MKNOD")])),
    ("sidekick", "permitted", |s| sidekick(s)["user"] = json!("app")),
    ("pre-start", "no_new_privileges", |s| isolator(s, 1, json!(false))),
    ("main", "denied_calls", |s| isolator(s, 2, json!({"set": ["reboot"]}))),
    ("main", "allowed_calls", |s| {
        isolator(s, 2, json!({"set": ["mkdir", "mkdirat", "kill"], "errno": "ENOTSUP"}))
    }),
    ("sidekick", "denied_calls", |s| sidekick(s)["isolators"] = json!([])),
    ("sidekick", "allowed_calls", |s| sidekick(s)["isolators"] = json!([remove("CAP_SYS_CHROOT")])),
    ("main", "oom_score_adjust", |s| isolator(s, 3, json!(501))),
    ("main", "descriptors", |s| app(s)["ports"][1]["socketActivated"] = json!(false)),
    ("main", "sockets", |s| app(s)["ports"].as_array_mut().unwrap().swap(0, 1)),
    ("main", "modes", |s| s.pod.as_mut().unwrap()["volumes"][2]["mode"] = json!("0777")),
    ("main", "contents", |s| with_file(s, "etc/hosts", "the image's own\n")),
    ("main", "missing", |s| with_file(s, "init", "")),
    ("main", "writable", |s| s.pod.as_mut().unwrap()["volumes"][2]["readOnly"] = json!(true)),
    ("main", "read_only", |s| s.pod.as_mut().unwrap()["apps"][0]["readOnlyRootFS"] = json!(false)),
    ("main", "mounts", |s| s.pod.as_mut().unwrap()["volumes"][1]["readOnly"] = json!(false)),
    ("sidekick", "read_only_files", |s| {
        // The same directory by another name, so that only the sidekick sees it writable: what fails in the main app
        // would end the pod, perhaps before the sidekick has looked.
        let writable = json!({"name": "writable", "kind": "host", "source": "HOST/config"});
        s.pod.as_mut().unwrap()["volumes"].as_array_mut().unwrap().push(writable);
        sidekick(s)["mountPoints"][1]["name"] = json!("writable");
    }),
    ("main", "processes", |s| sidekick(s)["exec"][0] = json!("/conformance")),
    ("main", "log_before", |s| {
        app(s)["eventHandlers"].as_array_mut().unwrap().remove(0);
    }),
    ("post-stop", "log_before", |s| s.expect("main", "log", json!("/data/other-log"))),
    ("main", "wait_for", |s| {
        // The sidekick would be the first to give up, since it waits for the main app, and would end the pod.
        s.expect("sidekick", "wait_for", json!([]));
        s.expect("main", "wait_for", json!(["/data/nobody-makes-it"]));
    }),
    // What no manifest can change.
    ("main", "umask", |s| s.expect("main", "umask", json!("0027"))),
    ("main", "inheritable", |s| s.expect("main", "inheritable", json!(["CAP_KILL"]))),
    ("main", "ambient", |s| s.expect("main", "ambient", json!(["CAP_KILL"]))),
    ("main", "seccomp", |s| s.expect("main", "seccomp", json!(0))),
    ("main", "signals", |s| s.expect("main", "signals", json!({"ignored": "1"}))),
    ("main", "terminals", |s| s.expect("main", "terminals", json!([false, true, false]))),
    ("main", "input", |s| s.expect("main", "input", json!("x"))),
    ("main", "limits", |s| s.expect("main", "limits", json!({"Max stack size": ["1", "unlimited"]}))),
    ("main", "hostname", |s| s.expect("main", "hostname", json!("host"))),
    ("main", "hidden_processes", |s| s.expect("main", "hidden_processes", json!(["systemd"]))),
    ("main", "devices", |s| {
        s.expect("main", "devices", json!({"/dev/null": {"kind": "c", "major": 1, "minor": 5}}))
    }),
    ("main", "opens", |s| s.expect("main", "opens", json!(["/dev/mem"]))),
    ("main", "links", |s| s.expect("main", "links", json!({"/dev/fd": "/dev/null"}))),
    ("main", "masked", |s| s.expect("main", "masked", json!(["/proc/version"]))),
    ("main", "localtime", |s| {
        s.expect("main", "localtime", json!({"path": "/etc/localtime", "bytes": 1, "starts_with": "TZif"}))
    }),
    ("main", "log", |s| s.expect("main", "log", json!("/config/log"))),
    ("main", "make", |s| s.expect("main", "make", json!(["/config/made", "/data/main-has-looked"]))),
    ("main", "announce", |s| s.expect("main", "announce", json!(["/config/made"]))),
];

/// Runs every control, and looks for a check of the main app's that has none.
pub(crate) fn all() {
    let controlled: BTreeSet<_> = CONTROLS.iter().map(|(_, check, _)| (*check).to_owned()).collect();
    let subject = pod_0_8::subject();
    let roles = subject.expectations.as_object().unwrap().values();
    let checks: BTreeSet<_> = roles.flat_map(|role| role.as_object().unwrap().keys().cloned()).collect();
    assert_eq!(checks, controlled, "checks, and those with a control");
    for (role, check, change) in CONTROLS {
        let mut subject = pod_0_8::subject();
        change(&mut subject);
        let said = subject.run();
        let failed = format!("not ok {role} {check}: ");
        assert!(
            said.output.lines().any(|line| line.starts_with(&failed)) && said.code != Some(0),
            "{role} {check} should fail, and the pod with it ({:?}):\n{}",
            said.code,
            said.output
        );
    }
}

fn app(subject: &mut Subject) -> &mut Value {
    &mut subject.images[0]["app"]
}

fn sidekick(subject: &mut Subject) -> &mut Value {
    &mut subject.pod.as_mut().unwrap()["apps"][1]["app"]
}

fn isolator(subject: &mut Subject, index: usize, value: Value) {
    app(subject)["isolators"][index]["value"] = value;
}

fn remove(capability: &str) -> Value {
    json!({"name": "os/linux/capabilities-remove-set", "value": {"set": [capability]}})
}

fn with_file(subject: &mut Subject, path: &str, content: &str) {
    subject.rootfs = subject.rootfs.clone().with(path, Node::File(0o644, content.into()));
}
