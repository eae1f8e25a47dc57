// SPDX-License-Identifier: Apache-2.0
//! A pod of appc 0.1, as the installer writes it from images whose manifests have 0.1's forms.

use serde_json::{Value, json};
use testing::users;

use crate::pod_0_8::{WITH_TOKEN, WORDS, contents, devices, localtime};
use crate::subject::{Subject, exec, handler_sees, rootfs};

const PATH: &str = "/only/here:/bin";
/// The address of the metadata service.
const CONVENTIONAL: &str = "http://169.254.169.255";

pub(crate) fn subject() -> Subject {
    let mut subject = subject_with_own_users();
    if users::are_hosts() {
        // An option makes it a pod of 0.8, in which of a user's variables an app has HOME alone.
        for role in ["main", "pre-start", "post-stop", "sidekick"] {
            if let Some(environment) = subject.expectations[role]["environment"].as_object_mut() {
                environment.insert("AC_METADATA_URL".into(), WITH_TOKEN.into());
                environment.retain(|name, value| {
                    !["USER", "LOGNAME"].contains(&name.as_str()) && (name != "SHELL" || value == "/own")
                });
            }
        }
    }
    subject
}

fn subject_with_own_users() -> Subject {
    let image = |name: &str, app: Value| {
        json!({
            "acKind": "ImageManifest",
            "acVersion": "0.1.1",
            "name": format!("example.com/{name}"),
            "labels": [{"name": "os", "val": "linux"}, {"name": "version", "val": "1.0.0"}],
            "app": app,
            "annotations": {"created": "2026-01-01T00:00:00Z"},
        })
    };
    let volume = |name: &str, more: &str| {
        ["--volume".to_owned(), format!("{name},kind=host,source=HOST/{name}{more}")]
    };
    let empty = ["--volume".to_owned(), "scratch,kind=empty,mode=0700,uid=1000,gid=1000".to_owned()];
    Subject {
        rootfs: rootfs(),
        images: vec![image("main", main_app()), image("sidekick", sidekick_app())],
        pod: None,
        arguments: [volume("data", ""), volume("config", ",readOnly=true"), empty].concat(),
        expectations: json!({
            "main": main_sees(),
            "sidekick": sidekick_sees(),
            "pre-start": handler_sees(&main_sees(), "pre-start", &[]),
            "post-stop": handler_sees(&main_sees(), "post-stop", &["pre-start", "main"]),
        }),
    }
}

fn main_app() -> Value {
    json!({
        "exec": exec("/conformance", "main", &WORDS),
        "user": "app",
        "group": "app",
        "workingDirectory": "/work",
        "environment": {"PATH": PATH, "A.b": "x\ty", "SHELL": "/own"},
        "eventHandlers": [
            {"name": "pre-start", "exec": exec("/conformance", "pre-start", &[])},
            {"name": "post-stop", "exec": exec("/conformance", "post-stop", &[])},
        ],
        "mountPoints": [
            {"name": "data", "path": "/data"},
            {"name": "config", "path": "/config"},
            {"name": "scratch", "path": "/var/scratch"},
        ],
        "isolators": [
            {"name": "capabilities/bounding-set", "val": "CAP_KILL CAP_CHOWN"},
        ],
    })
}

fn sidekick_app() -> Value {
    json!({
        "exec": exec("/sidekick", "sidekick", &[]),
        "user": "/conformance",
        "group": "1234",
        "mountPoints": [
            {"name": "data", "path": "/data", "readOnly": false},
            {"name": "config", "path": "/config"},
            {"name": "scratch", "path": "/readable", "readOnly": true},
        ],
    })
}

fn main_environment() -> Value {
    json!({"PATH": PATH, "AC_APP_NAME": "main", "AC_METADATA_URL": CONVENTIONAL, "container": "gantry", "A.b": "x\ty",
           "USER": "app", "LOGNAME": "app", "HOME": "/home/app", "SHELL": "/own"})
}

fn main_sees() -> Value {
    let mut arguments = vec!["main"];
    arguments.extend(WORDS);
    json!({
        "wait_for": ["/data/sidekick-runs"],
        "log": "/data/log",
        "log_before": ["pre-start"],
        "make": ["/data/main-has-looked"],
        "arguments": arguments,
        "environment": main_environment(),
        "user": 1000,
        "group": 1000,
        "groups": [1000],
        "directory": "/work",
        "umask": "0022",
        "bounding": ["CAP_KILL", "CAP_CHOWN"],
        "effective": [],
        "permitted": [],
        "inheritable": [],
        "ambient": [],
        "no_new_privileges": false,
        "seccomp": 2,
        "descriptors": [0, 1, 2],
        "signals": {"blocked": "0", "ignored": "0"},
        "terminals": [false, false, false],
        "input": "",
        "hostname": "HOSTNAME",
        "processes": ["systemd", "sidekick"],
        "devices": devices(),
        "modes": {
            "/tmp": {"kind": "d", "mode": "1777", "user": 0, "group": 0},
            "/var/scratch": {"kind": "d", "mode": "0700", "user": 1000, "group": 1000},
        },
        "contents": contents(),
        "writable": ["/tmp", "/data", "/var/scratch"],
        "read_only": ["/config", "/sys/fs/cgroup"],
        "masked": ["/proc/kcore", "/proc/keys"],
        "mounts": {"/": ["rw", "nodev"], "/sys/fs/cgroup": ["ro"], "/config": ["ro"]},
        "localtime": localtime(),
    })
}

fn sidekick_sees() -> Value {
    json!({
        "announce": ["/data/sidekick-runs"],
        "wait_for": ["/data/main-has-looked"],
        "user": 0,
        "group": 1234,
        "environment": {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                        "AC_APP_NAME": "sidekick", "AC_METADATA_URL": CONVENTIONAL, "container": "gantry",
                        "USER": "root", "LOGNAME": "root", "HOME": "/root", "SHELL": "/bin/sh"},
        "read_only": ["/config", "/readable"],
        "writable": ["/", "/data"],
        "mounts": {"/readable": ["ro"]},
    })
}
