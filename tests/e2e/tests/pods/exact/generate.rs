// SPDX-License-Identifier: Apache-2.0
//! Random pods, as what is meant and as manifests.

use std::collections::BTreeSet;
use std::path::Path;

use fastrand::Rng;
use serde_json::{Value, json};
use syscalls::Sysno;

/// Whose users an app's users are (docs/manifests.md, `gantry/users`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Users {
    Own,
    Shared,
    Host,
}

/// What an app's manifest says about its capabilities, by number.
#[derive(Clone, Debug)]
pub(super) enum Capabilities {
    Default,
    Retain(BTreeSet<u8>),
    Remove(BTreeSet<u8>),
}

/// What an app's manifest says about its system calls.
#[derive(Clone, Debug)]
pub(super) enum Seccomp {
    Default,
    /// None of its own.
    All,
    /// A list, and whether it is what may be called; whether it keeps the app from making directories; and the error.
    List {
        retain: bool,
        denies_mkdir: bool,
        errno: Option<&'static str>,
    },
}

/// An app, as it is meant.
#[derive(Clone, Debug)]
pub(super) struct App {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) users: Users,
    pub(super) capabilities: Capabilities,
    pub(super) no_new_privileges: Option<bool>,
    pub(super) seccomp: Seccomp,
    pub(super) oom_score: Option<i16>,
    pub(super) tasks: Option<u32>,
    pub(super) has_handler: bool,
}

/// Shows what a program has, in the directory that is its argument: as files, and by whether it can make a directory.
const SHOW: &str = "cp /proc/self/status /proc/self/limits /proc/self/oom_score_adj /proc/self/uid_map $1 || exit 1; \
                    mkdir $1/made 2>$1/said; exit 0";
/// All capabilities, each at its number (capabilities(7)).
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];
/// Calls that no program of busybox makes here.
const OTHERS: [&str; 8] = ["mount", "ptrace", "reboot", "bpf", "swapon", "add_key", "acct", "delete_module"];
/// Errors, with what busybox says of them.
pub(super) const ERRORS: [(&str, &str); 3] = [
    ("EXDEV", "Invalid cross-device link"),
    ("ENOTSUP", "Operation not supported"),
    ("EDOM", "Numerical argument out of domain"),
];

/// Chooses the apps of a pod.
pub(super) fn pod(rng: &mut Rng, apps: usize) -> Vec<App> {
    let has_hosts_users = rng.u32(..5) == 0;
    (0..apps).map(|number| app(rng, number, has_hosts_users)).collect()
}

fn app(rng: &mut Rng, number: usize, has_hosts_users: bool) -> App {
    let users = match rng.u32(..4) {
        _ if has_hosts_users => Users::Host,
        0 => Users::Shared,
        _ => Users::Own,
    };
    let mut id = || loop {
        let id = match rng.u32(..6) {
            0 | 1 => 0,
            2 => [1, 1000, 65_534][rng.usize(..3)],
            3 if users == Users::Host => rng.u32(..),
            _ => rng.u32(..65_535),
        };
        // 2^16-1 and 2^32-1 mean nobody.
        if id != 65_535 && id != u32::MAX {
            return id;
        }
    };
    let (uid, gid) = (id(), id());
    let mut groups: Vec<_> = (0..7).map(|_| id()).collect();
    groups.truncate(rng.usize(..8));
    if rng.u32(..4) == 0 {
        groups.push(gid);
    }
    let capabilities = match rng.u32(..4) {
        0 => Capabilities::Default,
        1 => Capabilities::Remove(numbers(rng, 20)),
        // With few there, most apps have users of their own.
        2 => Capabilities::Retain(numbers(rng, 4)),
        _ => Capabilities::Retain(numbers(rng, 41)),
    };
    App {
        name: format!("app-{number}"),
        uid,
        gid,
        groups,
        users,
        capabilities,
        no_new_privileges: [None, Some(true), Some(false)][rng.usize(..3)],
        seccomp: seccomp(rng),
        oom_score: rng.bool().then(|| rng.i16(-1000..=1000)),
        tasks: rng.bool().then(|| rng.u32(50..5000)),
        has_handler: rng.u32(..3) == 0,
    }
}

fn numbers(rng: &mut Rng, most: usize) -> BTreeSet<u8> {
    let count = rng.usize(..=most);
    (0..count).map(|_| rng.u8(..41)).collect()
}

fn seccomp(rng: &mut Rng) -> Seccomp {
    match rng.u32(..5) {
        0 | 1 => Seccomp::Default,
        2 => Seccomp::All,
        kind => Seccomp::List {
            retain: kind == 3,
            denies_mkdir: rng.bool(),
            errno: [None, Some(ERRORS[0].0), Some(ERRORS[1].0), Some(ERRORS[2].0)][rng.usize(..4)],
        },
    }
}

/// Writes down what is meant. Each app has a directory for each of its programs below `out`.
pub(super) fn manifest(apps: &[App], image: &str, out: &Path) -> Value {
    let entries: Vec<_> = apps.iter().map(|app| entry(app, image, out)).collect();
    let mut pod = json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": entries});
    let mut annotations = vec![json!({"name": "gantry/net", "value": "none"})];
    if apps.iter().any(|app| app.users == Users::Host) {
        annotations.push(json!({"name": "gantry/users", "value": "host"}));
    }
    pod["annotations"] = annotations.into();
    pod
}

fn entry(app: &App, image: &str, out: &Path) -> Value {
    let exec = |program: &str| json!(["/bin/sh", "-c", SHOW, "sh", format!("/out/{program}")]);
    let handlers = match app.has_handler {
        true => json!([{"name": "pre-start", "exec": exec("pre-start")}]),
        false => json!([]),
    };
    let volume = json!({"name": "out", "kind": "host", "source": out.join(&app.name).to_str().unwrap()});
    let mut entry = json!({
        "name": app.name,
        "image": {"id": image},
        "app": {
            "exec": exec("app"), "user": app.uid.to_string(), "group": app.gid.to_string(),
            "supplementaryGIDs": app.groups, "isolators": isolators(app), "eventHandlers": handlers,
        },
        "mounts": [{"volume": "out", "path": "/out", "appVolume": volume}],
    });
    if app.users == Users::Shared {
        entry["annotations"] = json!([{"name": "gantry/users", "value": "shared"}]);
    }
    entry
}

fn isolators(app: &App) -> Vec<Value> {
    let mut all = Vec::new();
    let mut add = |name: &str, value: Value| all.push(json!({"name": name, "value": value}));
    let names = |set: &BTreeSet<u8>| -> Vec<_> {
        set.iter().map(|number| format!("CAP_{}", CAPABILITIES[usize::from(*number)])).collect()
    };
    match &app.capabilities {
        Capabilities::Default => {}
        Capabilities::Retain(set) => add("os/linux/capabilities-retain-set", json!({"set": names(set)})),
        Capabilities::Remove(set) => add("os/linux/capabilities-remove-set", json!({"set": names(set)})),
    }
    if let Some(value) = app.no_new_privileges {
        add("os/linux/no-new-privileges", value.into());
    }
    match &app.seccomp {
        Seccomp::Default => {}
        Seccomp::All => add("os/linux/seccomp-retain-set", json!({"set": ["@appc.io/all"]})),
        Seccomp::List { retain, denies_mkdir, errno } => {
            let mut set: Vec<_> = OTHERS.to_vec();
            set.extend(denies_mkdir.then_some(["mkdir", "mkdirat"]).into_iter().flatten());
            if *retain {
                set = Sysno::iter().map(|call| call.name()).filter(|name| !set.contains(name)).collect();
            }
            let kind = if *retain { "retain" } else { "remove" };
            add(&format!("os/linux/seccomp-{kind}-set"), json!({"set": set, "errno": errno}));
        }
    }
    if let Some(score) = app.oom_score {
        add("os/linux/oom-score-adj", score.into());
    }
    if let Some(tasks) = app.tasks {
        add("resource/tasks", json!({"limit": tasks}));
    }
    all
}
