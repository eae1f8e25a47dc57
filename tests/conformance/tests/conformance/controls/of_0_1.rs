// SPDX-License-Identifier: Apache-2.0
//! The controls of the pod of 0.1.

use serde_json::{Value, json};

use super::{Control, HANDLERS, MAIN, POST_STOP, SIDEKICK, app, expect_of_handlers, handlers, with_file};
use crate::subject::Subject;

/// Where possible, the pod is changed, and the expectation stays.
pub(super) const CONTROLS: &[Control] = &[
    (MAIN, "arguments", |s| app(s)["exec"].as_array_mut().unwrap().push(json!("more"))),
    (MAIN, "environment", |s| app(s)["environment"] = json!({})),
    (MAIN, "user", |s| app(s)["user"] = json!("0")),
    (MAIN, "group", |s| app(s)["group"] = json!("0")),
    (MAIN, "groups", |s| app(s)["group"] = json!("0")),
    (MAIN, "directory", |s| app(s)["workingDirectory"] = json!("/")),
    (MAIN, "bounding", |s| app(s)["isolators"][0]["val"] = json!("CAP_KILL")),
    (MAIN, "effective", |s| app(s)["user"] = json!("0")),
    (MAIN, "permitted", |s| app(s)["user"] = json!("0")),
    (MAIN, "log_before", |s| {
        app(s)["eventHandlers"].as_array_mut().unwrap().remove(0);
    }),
    (MAIN, "contents", |s| with_file(s, "etc/hosts", "the image's own\n")),
    (MAIN, "modes", |s| argument(s, "scratch", "scratch,kind=empty,mode=0755,uid=1000,gid=1000")),
    (MAIN, "writable", |s| {
        argument(s, "scratch", "scratch,kind=empty,mode=0700,uid=1000,gid=1000,readOnly=true");
    }),
    (MAIN, "read_only", |s| argument(s, "config", "config,kind=host,source=HOST/config")),
    (MAIN, "mounts", |s| argument(s, "config", "config,kind=host,source=HOST/config")),
    (MAIN, "processes", |s| sidekick(s)["exec"][0] = json!("/conformance")),
    (SIDEKICK, "user", |s| sidekick(s)["user"] = json!("app")),
    (SIDEKICK, "group", |s| sidekick(s)["group"] = json!("app")),
    (SIDEKICK, "environment", |s| sidekick(s)["environment"] = json!({"B": "2"})),
    (SIDEKICK, "read_only", |s| sidekick(s)["mountPoints"][2]["readOnly"] = json!(false)),
    (SIDEKICK, "mounts", |s| sidekick(s)["mountPoints"][2]["readOnly"] = json!(false)),
    // Things that no manifest of 0.1 can change.
    (MAIN, "wait_for", |s| {
        s.expect("sidekick", "wait_for", json!([]));
        s.expect("main", "wait_for", json!(["/data/nobody-makes-it"]));
    }),
    (SIDEKICK, "announce", |s| {
        s.expect("main", "wait_for", json!([]));
        s.expect("sidekick", "announce", json!(["/config/made"]));
    }),
    (MAIN, "log", |s| s.expect("main", "log", json!("/config/log"))),
    (MAIN, "make", |s| s.expect("main", "make", json!(["/config/made", "/data/main-has-looked"]))),
    (MAIN, "umask", |s| s.expect("main", "umask", json!("0027"))),
    (MAIN, "inheritable", |s| s.expect("main", "inheritable", json!(["CAP_KILL"]))),
    (MAIN, "ambient", |s| s.expect("main", "ambient", json!(["CAP_KILL"]))),
    (MAIN, "no_new_privileges", |s| s.expect("main", "no_new_privileges", json!(true))),
    (MAIN, "seccomp", |s| s.expect("main", "seccomp", json!(0))),
    (MAIN, "descriptors", |s| s.expect("main", "descriptors", json!([0, 1]))),
    (MAIN, "signals", |s| s.expect("main", "signals", json!({"ignored": "1"}))),
    (MAIN, "terminals", |s| s.expect("main", "terminals", json!([false, true, false]))),
    (MAIN, "input", |s| s.expect("main", "input", json!("x"))),
    (MAIN, "hostname", |s| s.expect("main", "hostname", json!("host"))),
    (MAIN, "devices", |s| {
        s.expect("main", "devices", json!({"/dev/null": {"kind": "c", "major": 1, "minor": 5}}))
    }),
    (MAIN, "masked", |s| s.expect("main", "masked", json!(["/proc/version"]))),
    (MAIN, "localtime", |s| {
        s.expect("main", "localtime", json!({"path": "/etc/localtime", "bytes": 1, "starts_with": "TZif"}))
    }),
    // Handlers get what their app gets.
    (HANDLERS, "arguments", |s| {
        handlers(s).for_each(|handler| handler["exec"].as_array_mut().unwrap().push(json!("more")));
    }),
    (HANDLERS, "environment", |s| app(s)["environment"] = json!({})),
    (HANDLERS, "user", |s| app(s)["user"] = json!("0")),
    (HANDLERS, "group", |s| app(s)["group"] = json!("0")),
    (HANDLERS, "groups", |s| app(s)["group"] = json!("0")),
    (HANDLERS, "directory", |s| app(s)["workingDirectory"] = json!("/")),
    (HANDLERS, "bounding", |s| app(s)["isolators"][0]["val"] = json!("CAP_KILL")),
    (HANDLERS, "effective", |s| app(s)["user"] = json!("0")),
    (HANDLERS, "permitted", |s| app(s)["user"] = json!("0")),
    (HANDLERS, "writable", |s| {
        argument(s, "scratch", "scratch,kind=empty,mode=0700,uid=1000,gid=1000,readOnly=true");
    }),
    (HANDLERS, "read_only", |s| argument(s, "config", "config,kind=host,source=HOST/config")),
    (HANDLERS, "mounts", |s| argument(s, "config", "config,kind=host,source=HOST/config")),
    (POST_STOP, "log_before", |s| s.expect("main", "log", json!("/data/other-log"))),
    (HANDLERS, "log", |s| expect_of_handlers(s, "log", &json!("/config/log"))),
    (HANDLERS, "umask", |s| expect_of_handlers(s, "umask", &json!("0027"))),
    (HANDLERS, "inheritable", |s| expect_of_handlers(s, "inheritable", &json!(["CAP_KILL"]))),
    (HANDLERS, "ambient", |s| expect_of_handlers(s, "ambient", &json!(["CAP_KILL"]))),
    (HANDLERS, "no_new_privileges", |s| expect_of_handlers(s, "no_new_privileges", &json!(true))),
    (HANDLERS, "seccomp", |s| expect_of_handlers(s, "seccomp", &json!(0))),
    (HANDLERS, "descriptors", |s| expect_of_handlers(s, "descriptors", &json!([0, 1, 2, 3]))),
    (HANDLERS, "signals", |s| expect_of_handlers(s, "signals", &json!({"ignored": "1"}))),
    (HANDLERS, "terminals", |s| expect_of_handlers(s, "terminals", &json!([false, true, false]))),
    (HANDLERS, "input", |s| expect_of_handlers(s, "input", &json!("x"))),
    (HANDLERS, "hostname", |s| expect_of_handlers(s, "hostname", &json!("host"))),
];

/// Controls for each variable: the roles, what is found, and the change.
pub(super) const ENVIRONMENT: &[Control] = &[
    (MAIN, r#"missing: ["A.b"], extra: {}"#, |s| drop(variables(s).remove("A.b"))),
    (MAIN, r#"missing: [], extra: {"B": "2"}"#, |s| drop(variables(s).insert("B".into(), json!("2")))),
    (MAIN, r#"different: {"PATH": "/bin"}"#, |s| drop(variables(s).insert("PATH".into(), json!("/bin")))),
    (MAIN, r#"different: {"LOGNAME": "other", "USER": "other"}"#, |s| {
        app(s)["user"] = json!("other");
        with_file(s, "etc/passwd", "other:x:1000:1000::/home/app:/bin/app\n");
    }),
    (HANDLERS, r#"different: {"HOME": "/else"}"#, |s| {
        with_file(s, "etc/passwd", "app:x:1000:1000::/else:/bin/app\n");
    }),
    (HANDLERS, r#"different: {"SHELL": "/bin/app"}"#, |s| drop(variables(s).remove("SHELL"))),
    (SIDEKICK, r#"different: {"HOME": "/else", "SHELL": "/bin/else"}"#, |s| {
        with_file(s, "etc/passwd", "root:x:0:0::/else:/bin/else\napp:x:1000:1000::/home/app:/bin/app\n");
    }),
];

fn sidekick(subject: &mut Subject) -> &mut Value {
    &mut subject.images[1]["app"]
}

fn variables(subject: &mut Subject) -> &mut serde_json::Map<String, Value> {
    app(subject)["environment"].as_object_mut().unwrap()
}

/// Changes the argument that defines the volume `name`.
fn argument(subject: &mut Subject, name: &str, volume: &str) {
    let given = subject.arguments.iter_mut().find(|argument| argument.starts_with(name));
    volume.clone_into(given.unwrap());
}
