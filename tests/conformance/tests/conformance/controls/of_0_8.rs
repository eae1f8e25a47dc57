// SPDX-License-Identifier: Apache-2.0
//! The controls of the pod of 0.8.

use serde_json::{Value, json};

use super::{
    Control, HANDLERS, MAIN, POST_STOP, PRE_START, SIDEKICK, app, expect_of_handlers, handlers, with_file,
};
use crate::subject::Subject;

/// Where possible, the pod is changed, and the expectation stays.
pub(super) const CONTROLS: &[Control] = &[
    (MAIN, "arguments", |s| app(s)["exec"].as_array_mut().unwrap().push(json!("more"))),
    (PRE_START, "environment", |s| app(s)["environment"] = json!([{"name": "B", "value": "2"}])),
    (PRE_START, "user", |s| app(s)["user"] = json!("0")),
    (MAIN, "group", |s| app(s)["group"] = json!("0")),
    (MAIN, "groups", |s| app(s)["supplementaryGIDs"] = json!([27])),
    (PRE_START, "directory", |s| app(s)["workingDirectory"] = json!("/")),
    (MAIN, "bounding", |s| isolator(s, 0, json!({"set": ["CAP_KILL", "CAP_CHOWN"]}))),
    (SIDEKICK, "bounding", |s| sidekick(s)["isolators"] = json!([remove("CAP_KILL")])),
    (SIDEKICK, "effective", |s| sidekick(s)["isolators"] = json!([remove("CAP_MKNOD")])),
    (SIDEKICK, "permitted", |s| sidekick(s)["user"] = json!("app")),
    (PRE_START, "no_new_privileges", |s| isolator(s, 1, json!(false))),
    (MAIN, "denied_calls", |s| isolator(s, 2, json!({"set": ["reboot"]}))),
    (MAIN, "allowed_calls", |s| {
        isolator(s, 2, json!({"set": ["mkdir", "mkdirat", "kill"], "errno": "ENOTSUP"}))
    }),
    (SIDEKICK, "denied_calls", |s| sidekick(s)["isolators"] = json!([])),
    (SIDEKICK, "allowed_calls", |s| sidekick(s)["isolators"] = json!([remove("CAP_SYS_CHROOT")])),
    (MAIN, "oom_score_adjust", |s| isolator(s, 3, json!(501))),
    (MAIN, "descriptors", |s| app(s)["ports"][1]["socketActivated"] = json!(false)),
    (MAIN, "sockets", |s| app(s)["ports"].as_array_mut().unwrap().swap(0, 1)),
    (MAIN, "modes", |s| s.pod.as_mut().unwrap()["volumes"][2]["mode"] = json!("0777")),
    (MAIN, "contents", |s| with_file(s, "etc/hosts", "the image's own\n")),
    (MAIN, "missing", |s| with_file(s, "init", "")),
    (MAIN, "writable", |s| s.pod.as_mut().unwrap()["volumes"][2]["readOnly"] = json!(true)),
    (MAIN, "read_only", |s| s.pod.as_mut().unwrap()["apps"][0]["readOnlyRootFS"] = json!(false)),
    (MAIN, "mounts", |s| s.pod.as_mut().unwrap()["volumes"][1]["readOnly"] = json!(false)),
    (SIDEKICK, "read_only_files", |s| {
        // The same directory by another name, so that only the sidekick sees it writable. A failure of the main app
        // would end the pod, perhaps before the sidekick has looked.
        let writable = json!({"name": "writable", "kind": "host", "source": "HOST/config"});
        s.pod.as_mut().unwrap()["volumes"].as_array_mut().unwrap().push(writable);
        sidekick(s)["mountPoints"][1]["name"] = json!("writable");
    }),
    (MAIN, "processes", |s| sidekick(s)["exec"][0] = json!("/conformance")),
    (MAIN, "log_before", |s| {
        app(s)["eventHandlers"].as_array_mut().unwrap().remove(0);
    }),
    (POST_STOP, "log_before", |s| s.expect("main", "log", json!("/data/other-log"))),
    (MAIN, "wait_for", |s| {
        // Otherwise the sidekick, which waits for the main app, would be the first to give up, and end the pod.
        s.expect("sidekick", "wait_for", json!([]));
        s.expect("main", "wait_for", json!(["/data/nobody-makes-it"]));
    }),
    // Things that no manifest can change.
    (SIDEKICK, "others_files", |s| s.expect("sidekick", "others_files", json!(["/dev/null"]))),
    (MAIN, "umask", |s| s.expect("main", "umask", json!("0027"))),
    (MAIN, "inheritable", |s| s.expect("main", "inheritable", json!(["CAP_KILL"]))),
    (MAIN, "ambient", |s| s.expect("main", "ambient", json!(["CAP_KILL"]))),
    (MAIN, "seccomp", |s| s.expect("main", "seccomp", json!(0))),
    (MAIN, "signals", |s| s.expect("main", "signals", json!({"ignored": "1"}))),
    (MAIN, "terminals", |s| s.expect("main", "terminals", json!([false, true, false]))),
    (MAIN, "input", |s| s.expect("main", "input", json!("x"))),
    (MAIN, "limits", |s| s.expect("main", "limits", json!({"Max stack size": ["1", "unlimited"]}))),
    (MAIN, "hostname", |s| s.expect("main", "hostname", json!("host"))),
    (MAIN, "hidden_processes", |s| s.expect("main", "hidden_processes", json!(["systemd"]))),
    (MAIN, "devices", |s| {
        s.expect("main", "devices", json!({"/dev/null": {"kind": "c", "major": 1, "minor": 5}}))
    }),
    (MAIN, "opens", |s| s.expect("main", "opens", json!(["/dev/mem"]))),
    (MAIN, "links", |s| s.expect("main", "links", json!({"/dev/fd": "/dev/null"}))),
    (MAIN, "masked", |s| s.expect("main", "masked", json!(["/proc/version"]))),
    (MAIN, "localtime", |s| {
        s.expect("main", "localtime", json!({"path": "/etc/localtime", "bytes": 1, "starts_with": "TZif"}))
    }),
    (MAIN, "log", |s| s.expect("main", "log", json!("/config/log"))),
    (MAIN, "make", |s| s.expect("main", "make", json!(["/config/made", "/data/main-has-looked"]))),
    (MAIN, "announce", |s| s.expect("main", "announce", json!(["/config/made"]))),
    // Handlers get what their app gets.
    (HANDLERS, "arguments", |s| {
        handlers(s).for_each(|handler| handler["exec"].as_array_mut().unwrap().push(json!("more")));
    }),
    (HANDLERS, "environment", |s| app(s)["environment"] = json!([{"name": "B", "value": "2"}])),
    (HANDLERS, "user", |s| app(s)["user"] = json!("0")),
    (HANDLERS, "group", |s| app(s)["group"] = json!("0")),
    (HANDLERS, "groups", |s| app(s)["supplementaryGIDs"] = json!([27])),
    (HANDLERS, "directory", |s| app(s)["workingDirectory"] = json!("/")),
    (HANDLERS, "bounding", |s| isolator(s, 0, json!({"set": ["CAP_KILL", "CAP_CHOWN"]}))),
    (HANDLERS, "effective", |s| app(s)["user"] = json!("0")),
    (HANDLERS, "permitted", |s| app(s)["user"] = json!("0")),
    (HANDLERS, "no_new_privileges", |s| isolator(s, 1, json!(false))),
    (HANDLERS, "seccomp", |s| expect_of_handlers(s, "seccomp", &json!(0))),
    (HANDLERS, "denied_calls", |s| isolator(s, 2, json!({"set": ["reboot"]}))),
    (HANDLERS, "allowed_calls", |s| {
        isolator(s, 2, json!({"set": ["mkdir", "mkdirat", "kill"], "errno": "ENOTSUP"}))
    }),
    (HANDLERS, "oom_score_adjust", |s| isolator(s, 3, json!(501))),
    (HANDLERS, "writable", |s| s.pod.as_mut().unwrap()["volumes"][2]["readOnly"] = json!(true)),
    (HANDLERS, "read_only", |s| s.pod.as_mut().unwrap()["apps"][0]["readOnlyRootFS"] = json!(false)),
    (HANDLERS, "mounts", |s| s.pod.as_mut().unwrap()["volumes"][1]["readOnly"] = json!(false)),
    (HANDLERS, "log", |s| expect_of_handlers(s, "log", &json!("/config/log"))),
    (HANDLERS, "umask", |s| expect_of_handlers(s, "umask", &json!("0027"))),
    (HANDLERS, "inheritable", |s| expect_of_handlers(s, "inheritable", &json!(["CAP_KILL"]))),
    (HANDLERS, "ambient", |s| expect_of_handlers(s, "ambient", &json!(["CAP_KILL"]))),
    (HANDLERS, "descriptors", |s| expect_of_handlers(s, "descriptors", &json!([0, 1, 2, 3]))),
    (HANDLERS, "signals", |s| expect_of_handlers(s, "signals", &json!({"ignored": "1"}))),
    (HANDLERS, "terminals", |s| expect_of_handlers(s, "terminals", &json!([false, true, false]))),
    (HANDLERS, "input", |s| expect_of_handlers(s, "input", &json!("x"))),
    (HANDLERS, "hostname", |s| expect_of_handlers(s, "hostname", &json!("host"))),
];

fn sidekick(subject: &mut Subject) -> &mut Value {
    &mut subject.pod.as_mut().unwrap()["apps"][1]["app"]
}

fn isolator(subject: &mut Subject, index: usize, value: Value) {
    app(subject)["isolators"][index]["value"] = value;
}

fn remove(capability: &str) -> Value {
    json!({"name": "os/linux/capabilities-remove-set", "value": {"set": [capability]}})
}
