// SPDX-License-Identifier: Apache-2.0
//! A pod of appc 0.8: two apps of one image, one of them with everything that a manifest can ask for.

use std::fs;
use std::net::{TcpListener, UdpSocket};

use network::resolver;
use serde_json::{Value, json};
use testing::users;

use crate::subject::{Subject, exec, handler_sees, rootfs};

pub(crate) const WORDS: [&str; 4] = ["a b", "%n $HOME ${X} ; \\ \" ' é\n", "", "\rExecStartPre=/x"];
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What stands for the address of a metadata service that asks for a token.
pub(crate) const WITH_TOKEN: &str = "http://127.0.0.1:PORT/TOKEN";
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETUID",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETFCAP",
    "CAP_SYS_CHROOT",
];

/// Returns free ports: two successive ones for TCP, one for UDP.
fn free_ports() -> (u16, u16) {
    let udp = UdpSocket::bind("[::]:0").unwrap().local_addr().unwrap().port();
    loop {
        let first = TcpListener::bind("[::]:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind(("::", port + 1)).is_ok() {
            return (port, udp);
        }
    }
}

pub(crate) fn subject() -> Subject {
    let (tcp, udp) = free_ports();
    let image = json!({
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": "example.com/conformance",
        "app": main_app(tcp, udp),
    });
    let pod = json!({
        "acKind": "PodManifest",
        "acVersion": "0.8.11",
        "apps": [
            {"name": "main", "image": {"id": "IMAGE"}, "readOnlyRootFS": true,
             "mounts": [{"volume": "scratch", "path": "/var/scratch"}]},
            {"name": "sidekick", "image": {"id": "IMAGE"}, "app": sidekick_app()},
        ],
        "volumes": [
            {"name": "data", "kind": "host", "source": "HOST/data"},
            {"name": "config", "kind": "host", "source": "HOST/config", "readOnly": true},
            {"name": "scratch", "kind": "empty", "mode": "1777", "uid": 7, "gid": 8},
        ],
    });
    let mut subject = Subject {
        rootfs: rootfs(),
        images: vec![image],
        pod: Some(pod),
        arguments: Vec::new(),
        expectations: json!({
            "main": main_sees(),
            "sidekick": sidekick_sees(),
            "pre-start": handler_sees(&main_sees(), "pre-start", &[]),
            "post-stop": handler_sees(&main_sees(), "post-stop", &["pre-start", "main"]),
        }),
    };
    let socket = |name, protocol, port| json!({"name": name, "protocol": protocol, "port": port});
    let sockets =
        json!([socket("web", "tcp", tcp), socket("web", "tcp", tcp + 1), socket("dns", "udp", udp)]);
    subject.expect("main", "sockets", sockets);
    if users::are_hosts() {
        give_hosts_users(&mut subject);
    }
    subject
}

/// Gives a pod the host's users. Root may then do what devices, raw sockets and files of the host's root allow, as far as
/// its capabilities go and mounts are writable.
pub(crate) fn give_hosts_users(subject: &mut Subject) {
    let pod = subject.pod.as_mut().unwrap();
    pod["annotations"] = json!([{"name": "gantry/users", "value": "host"}]);
    let mut denied = subject.expectations["sidekick"]["denied_calls"].clone();
    for allowed in ["mknod", "socket_raw"] {
        denied.as_object_mut().unwrap().remove(allowed);
    }
    subject.expect("sidekick", "denied_calls", denied);
    // What was another's is root's own, and on a mount that is read-only.
    let read_only = json!(["/config/expectations.json", "/proc/sys/kernel/panic", "/etc/hosts"]);
    subject.expect("sidekick", "read_only_files", read_only);
    subject.expect("sidekick", "others_files", json!([]));
}

fn mount_points() -> Value {
    json!([{"name": "data", "path": "/data"}, {"name": "config", "path": "/config"}])
}

fn main_app(tcp: u16, udp: u16) -> Value {
    json!({
        "exec": exec("/conformance", "main", &WORDS),
        "user": "app",
        "group": "app",
        "supplementaryGIDs": [27, 4321],
        "workingDirectory": "/work",
        "environment": [{"name": "A.b-c", "value": " x\n%n \\"}, {"name": "B", "value": "2"}],
        "eventHandlers": [
            {"name": "pre-start", "exec": exec("/conformance", "pre-start", &[])},
            {"name": "post-stop", "exec": exec("/conformance", "post-stop", &[])},
        ],
        "mountPoints": mount_points(),
        "ports": [
            {"name": "web", "protocol": "tcp", "port": tcp, "count": 2, "socketActivated": true},
            {"name": "dns", "protocol": "udp", "port": udp, "socketActivated": true},
        ],
        "isolators": [
            {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_KILL"]}},
            {"name": "os/linux/no-new-privileges", "value": true},
            {"name": "os/linux/seccomp-remove-set", "value": {"set": ["mkdir", "mkdirat"], "errno": "ENOTSUP"}},
            {"name": "os/linux/oom-score-adj", "value": 500},
        ],
    })
}

/// Returns an app that runs as root, with no isolators except the filter that is permitted without no-new-privileges.
fn sidekick_app() -> Value {
    json!({
        "exec": exec("/sidekick", "sidekick", &[]),
        "user": "0",
        "group": "0",
        "mountPoints": mount_points(),
        "isolators": [{"name": "os/linux/seccomp-remove-set", "value": {"set": ["uname"]}}],
    })
}

fn main_environment() -> Value {
    json!({"PATH": PATH, "AC_APP_NAME": "main", "AC_METADATA_URL": WITH_TOKEN, "container": "gantry",
           "A.b-c": " x\n%n \\", "B": "2"})
}

fn main_sees() -> Value {
    let mut arguments = vec!["main"];
    arguments.extend(WORDS);
    json!({
        "announce": ["/data/main-runs"],
        "wait_for": ["/data/sidekick-runs", "/dev/shm/of-sidekick"],
        "log": "/data/log",
        "log_before": ["pre-start"],
        "make": ["/data/main-has-looked"],
        "arguments": arguments,
        "environment": main_environment(),
        "user": 1000,
        "group": 1000,
        "groups": [27, 4321, 1000],
        "directory": "/work",
        "umask": "0022",
        "bounding": ["CAP_KILL"],
        "effective": [],
        "permitted": [],
        "inheritable": [],
        "ambient": [],
        "no_new_privileges": true,
        "seccomp": 2,
        "denied_calls": {"mkdir": "EOPNOTSUPP", "mount": "EPERM", "chroot": "EPERM"},
        "allowed_calls": ["uname", "getcwd", "kill0"],
        "oom_score_adjust": 500,
        "descriptors": [0, 1, 2, 3, 4, 5],
        "signals": {"blocked": "0", "ignored": "0"},
        "terminals": [false, false, false],
        "input": "",
        "limits": {"Max stack size": ["8388608", "unlimited"]},
        "hostname": "HOSTNAME",
        "processes": ["systemd", "sidekick", "conformance"],
        "hidden_processes": ["systemd-nspawn", "gantry-reaper"],
        "devices": devices(),
        "opens": ["/dev/null", "/dev/zero", "/dev/full", "/dev/ptmx", "/dev/console"],
        "modes": {
            "/tmp": {"kind": "d", "mode": "1777", "user": 0, "group": 0},
            "/dev/shm": {"kind": "d", "mode": "1777"},
            "/var/scratch": {"kind": "d", "mode": "1777", "user": 7, "group": 8},
            "/var": {"kind": "d", "mode": "0755", "user": 0, "group": 0},
            "/data": {"kind": "d", "mode": "1777"},
        },
        "contents": contents(),
        "links": {"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/ptmx": "pts/ptmx"},
        "missing": ["/dev/mem", "/dev/kmsg", "/dev/sda", "/etc/gantry", "/apps", "/init"],
        "writable": ["/tmp", "/data", "/var/scratch", "/dev/shm"],
        "read_only": ["/", "/work", "/config", "/dev", "/sys/fs/cgroup"],
        "masked": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/kallsyms", "/sys/firmware"],
        "mounts": {
            "/": ["ro", "nodev"],
            "/proc": ["nosuid", "nodev", "noexec"],
            "/sys": ["ro", "nosuid", "nodev", "noexec"],
            "/sys/fs/cgroup": ["ro"],
            "/dev": ["ro", "nosuid"],
            "/tmp": ["nosuid", "nodev"],
            "/config": ["ro", "nodev"],
            "/data": ["rw", "nodev"],
        },
        "localtime": localtime(),
    })
}

fn sidekick_sees() -> Value {
    json!({
        "announce": ["/data/sidekick-runs", "/dev/shm/of-sidekick"],
        "wait_for": ["/data/main-has-looked"],
        "arguments": ["sidekick"],
        "environment": {"PATH": PATH, "AC_APP_NAME": "sidekick", "AC_METADATA_URL": WITH_TOKEN, "container": "gantry"},
        "user": 0,
        "group": 0,
        "groups": [],
        "directory": "/",
        "bounding": DEFAULT_CAPABILITIES,
        "effective": DEFAULT_CAPABILITIES,
        "permitted": DEFAULT_CAPABILITIES,
        "inheritable": [],
        "ambient": [],
        "no_new_privileges": false,
        // Devices and raw sockets are the host's matter and the network's, where an app's own users are nobody.
        "denied_calls": {"mount": "EPERM", "unshare": "EPERM", "uname": "SIGSYS", "leave_root": "ENOENT",
                         "mknod": "EPERM", "socket_raw": "EPERM"},
        "allowed_calls": ["chroot", "mkdir", "link"],
        "oom_score_adjust": oom_score_adjust(),
        "descriptors": [0, 1, 2],
        "writable": ["/", "/tmp", "/data"],
        "read_only": ["/config", "/sys/fs/cgroup"],
        "read_only_files": ["/config/expectations.json", "/etc/hosts"],
        "others_files": ["/proc/sys/kernel/panic"],
        // Both apps have it in their image and write to their roots: each has its own.
        "missing": ["/var/scratch"],
    })
}

pub(crate) fn devices() -> Value {
    let device =
        |major: u32, minor: u32| json!({"kind": "c", "major": major, "minor": minor, "mode": "0666"});
    json!({
        "/dev/null": device(1, 3),
        "/dev/zero": device(1, 5),
        "/dev/full": device(1, 7),
        "/dev/random": device(1, 8),
        "/dev/urandom": device(1, 9),
        "/dev/tty": device(5, 0),
        "/dev/console": device(1, 3),
        "/dev/ptmx": {"kind": "c", "major": 5, "minor": 2},
        "/dev/pts": {"kind": "d"},
    })
}

pub(crate) fn contents() -> Value {
    let host = fs::read_to_string(resolver::RESOLV_CONF).unwrap_or_default();
    let upstream: Vec<_> =
        resolver::UPSTREAM.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    let (resolv_conf, _) = resolver::for_pod(&host, &upstream, &resolver::Asked::default());
    json!({
        "/etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\nADDRESS4 HOSTNAME\n\
                       169.254.77.1 host.gantry.internal\nADDRESS6 HOSTNAME\n\
                       fd67:616e:7472::1 host.gantry.internal\n",
        "/etc/resolv.conf": resolver::render(&resolv_conf),
    })
}

pub(crate) fn localtime() -> Value {
    // A host without a zone has UTC, and so have its apps: in any case there is a file with contents.
    let zone = fs::read("/etc/localtime").expect("this host has a time zone");
    json!({"path": "/etc/localtime", "bytes": zone.len(), "starts_with": "TZif"})
}

/// Without an isolator, an app has the caller's score.
fn oom_score_adjust() -> i32 {
    fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse().unwrap()
}
