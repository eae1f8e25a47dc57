// SPDX-License-Identifier: Apache-2.0
//! What apps can use up ends at a bound: files in memory, in bytes and in number, and processes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use gate::root_test;
use serde_json::{Value, json};
use testing::image::manifest;
use testing::layers::succeed;
use testing::pods::{Gantry, image_id, text};
use testing::rootfs::Rootfs;

/// Prints how many bytes and inodes each of these file systems has.
const SIZES: &str = "for at in $at; do echo $at $(busybox stat -f -c '%b %S %c' $at); done";
/// Fills each of these directories, with a file and then with files, and prints how much there was.
const FILL: &str = "for at in $at; do \
    busybox dd if=/dev/zero of=$at/file bs=64k count=1000 2>$HOME/said && echo no bound; \
    grep -q 'No space left on device' $HOME/said && echo $at $(wc -c < $at/file) bytes; rm $at/file; \
    n=0; while touch $at/$n 2>$HOME/said; do n=$((n+1)); done; \
    grep -q 'No space left on device' $HOME/said && echo $at $n files; rm -f $at/*; done";

fn script(at: &str, script: &str) -> Value {
    let script = format!("at='{at}'; {script}");
    json!({"exec": ["/bin/sh", "-c", script], "user": "0", "group": "0",
           "environment": [{"name": "HOME", "value": "/"}]})
}

/// Prepares a pod of these apps, whose entries have no image yet.
fn prepare(gantry: &Gantry, apps: &[Value], more: &Value) -> PathBuf {
    let output = refused_or_prepared(gantry, apps, more);
    assert!(output.status.success(), "{}", text(&output.stderr));
    PathBuf::from(text(&output.stdout).trim_end())
}

fn refused_or_prepared(gantry: &Gantry, apps: &[Value], more: &Value) -> std::process::Output {
    let image = gantry.image("limits", &Rootfs::busybox().unwrap(), &manifest("limits", &["true"]));
    let mut apps = apps.to_vec();
    apps.iter_mut().for_each(|app| app["image"] = json!({"id": image_id(&image)}));
    let mut pod = json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": apps});
    pod.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let path = gantry.beside("limits.json");
    fs::write(&path, pod.to_string()).unwrap();
    let init = testing::changed_init();
    let mut arguments = vec!["--pod-manifest", path.to_str().unwrap()];
    arguments.extend(init.iter().map(String::as_str));
    gantry.with_images("prepare", &[&image], &arguments).output().unwrap()
}

#[root_test]
fn what_is_in_memory_is_bounded_unless_something_is_said() {
    let gantry = Gantry::new();
    let app = json!({"name": "a", "app": script("/dev/shm /tmp", SIZES), "readOnlyRootFS": true});
    let pod = prepare(&gantry, &[app], &json!({}));
    let [shm, tmp] = [(64 << 20) / 4096, (256 << 20) / 4096];
    let expected = format!("/dev/shm {shm} 4096 {shm}\n/tmp {tmp} 4096 {tmp}\n");
    assert_eq!(succeed(&gantry, &pod), expected);
}

/// Whosever users the app's are: a tmpfs of the app's own can't be given other options by it.
#[root_test]
fn what_an_app_fills_ends_at_the_bound() {
    let gantry = Gantry::new();
    let again = "mount -o remount,size=100% /v 2>/dev/null; stat -c '%a %u %g' /v; ";
    let volume = json!({"name": "v", "kind": "empty", "mode": "1770", "uid": 7, "gid": 8, "size": "3Mi",
                        "inodes": 40});
    for users in ["own", "shared", "host"] {
        let mut app = json!({"name": "a", "app": script("/dev/shm /tmp /v", &format!("{again}{FILL}")),
                   "mounts": [{"volume": "v", "path": "/v", "appVolume": volume}]});
        app["app"]["isolators"] = json!([{"name": "resource/tmp", "value": {"limit": "2Mi", "inodes": 30}}]);
        let more = json!({
            "annotations": [{"name": "gantry/users", "value": users}],
            "isolators": [{"name": "resource/shm", "value": {"limit": "1Mi", "inodes": 20}}],
        });
        let pod = prepare(&gantry, &[app], &more);
        // The root of a file system is one of its objects.
        let expected = "1770 7 8\n\
                        /dev/shm 1048576 bytes\n/dev/shm 19 files\n\
                        /tmp 2097152 bytes\n/tmp 29 files\n\
                        /v 3145728 bytes\n/v 39 files\n";
        assert_eq!(succeed(&gantry, &pod), expected, "{users}");
    }
}

/// A file of one app's belongs to the same number in the other, and all are gone at the next start.
#[root_test]
fn a_volume_in_memory_is_shared_and_begins_empty() {
    let gantry = Gantry::new();
    let write = "ls -A /v; umask 077; echo secret > /v/new; chown 5:6 /v/new; mv /v/new /v/file; \
                 until [ -e /v/read ]; do sleep 0.05; done; stat -c 'read %u' /v/read";
    let read = "until [ -e /v/file ]; do sleep 0.05; done; cat /v/file; stat -c %u:%g:%a /v/file; \
                busybox stat -f -c %b /v; touch /v/.read; chown 7 /v/.read; mv /v/.read /v/read";
    let entry = |name: &str, text: &str| json!({"name": name, "app": script("", text), "mounts": [{"volume": "v", "path": "/v"}]});
    let volumes = json!({"volumes": [{"name": "v", "kind": "empty", "size": "1Mi"}]});
    let pod = prepare(&gantry, &[entry("writes", write), entry("reads", read)], &volumes);
    for _ in 0..2 {
        let found = succeed(&gantry, &pod);
        let mut lines: Vec<_> = found.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["256", "5:6:600", "read 7", "secret"]);
    }
    assert!(!pod.join("stage1/rkt/volumes/v").exists(), "nothing of it is on disk");
}

#[root_test]
fn options_change_the_bounds() {
    let gantry = Gantry::new();
    let show = format!(
        "at='/dev/shm /tmp /m /data'; {SIZES}; exec 2>/dev/null; \
        for i in $(seq 40); do sleep 1000 & done; echo many"
    );
    let mut image = manifest("options", &["/bin/sh", "-c", &show]);
    image["app"]["mountPoints"] = json!([{"name": "data", "path": "/data"}]);
    let image = gantry.image("options", &Rootfs::busybox().unwrap(), &image);
    let arguments = [
        "--shm-size=1m,inodes=9",
        "--tmp-size",
        "2m",
        "--pids-limit=20",
        "--mount",
        "type=volume,target=/m,size=12k,inodes=5",
        "-v",
        "data,kind=empty,size=1g",
    ];
    let output = gantry.with_images("run", &[&image], &arguments).output().unwrap();
    gantry.wait_all();
    let expected = "/dev/shm 256 4096 9\n/tmp 512 4096 1024\n/m 3 4096 5\n/data 262144 4096 262144\n";
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
}

#[root_test]
fn what_is_no_bound_is_refused_before_anything_is_made() {
    let gantry = Gantry::new();
    let image = gantry.image("bad", &Rootfs::busybox().unwrap(), &manifest("bad", &["true"]));
    let one_line = |output: &std::process::Output, code: i32, why: &str| {
        let said = text(&output.stderr);
        let first = said.lines().next().unwrap_or_default();
        assert!(output.status.code() == Some(code) && first.contains(why), "{why}: {output:?}");
    };
    for (option, why) in [
        ("--shm-size=0", "invalid size \"0\": expected a number of bytes above 0"),
        ("--shm-size=-1", "invalid size \"-1\": expected a number of bytes above 0"),
        ("--tmp-size=much", "invalid size \"much\": expected a number of bytes above 0"),
        ("--tmp-size=8388608t", "invalid size \"8388608t\": expected a number of bytes above 0"),
        ("--tmp-size=1m,inodes=0", "invalid inodes \"0\": expected a number from 1"),
        ("--pids-limit=0", "invalid number of processes \"0\": expected one from 1 to 4194304"),
        ("--pod-pids-limit=4194305", "invalid number of processes"),
        ("--volume=data,kind=empty,size=0", "volume data: invalid size \"0\""),
        ("--mount=type=volume,target=/m,size=x", "mount at \"/m\": invalid size \"x\""),
    ] {
        one_line(&gantry.with_images("prepare", &[&image], &[option]).output().unwrap(), 2, why);
    }
    let app = || json!({"name": "a", "app": script("", "true")});
    let isolators = |name: &str, value: Value| json!({"isolators": [{"name": name, "value": value}]});
    let volume = |size: Value| json!({"volumes": [{"name": "v", "kind": "empty", "size": size}]});
    for (more, why) in [
        (isolators("resource/shm", json!({"limit": "0"})), "isolator resource/shm: invalid quantity \"0\""),
        (isolators("resource/shm", json!({"limit": "8Ei"})), "expected at most 9223372036854775807"),
        (isolators("resource/shm", json!({})), "isolator resource/shm: expected a limit"),
        (isolators("resource/tasks", json!({"limit": 0})), "expected a number from 1 to 4194304"),
        (volume(json!("-1")), "volume v: size: invalid quantity \"-1\""),
        (volume(json!(-1)), "volume v: size: invalid quantity"),
        (volume(json!("much")), "volume v: size: invalid quantity \"much\""),
    ] {
        let output = refused_or_prepared(&gantry, &[app()], &more);
        one_line(&output, 1, why);
        assert_eq!(text(&output.stderr).lines().count(), 1, "{output:?}");
    }
    assert!(gantry.pods().is_empty());
}

/// The pod's limit is one of its apps' cgroup. Without a controller, a warning says what there is.
#[root_test]
fn processes_of_all_apps_are_limited_or_a_warning_says_how_many_there_may_be() {
    let gantry = Gantry::new();
    let many = "exec 2>/dev/null; for i in $(seq 40); do sleep 1000 & done; echo many; kill $(jobs -p)";
    let isolators = json!([{"name": "resource/tasks", "value": {"limit": 100}}]);
    let apps = ["a", "b"].into_iter().map(|name| {
        let mut app = json!({"name": name, "app": script("", many)});
        app["app"]["isolators"] = isolators.clone();
        app
    });
    let apps: Vec<_> = apps.collect();
    let more = json!({"isolators": [{"name": "resource/tasks", "value": {"limit": 30}}]});
    let pod = prepare(&gantry, &apps, &more);
    let (code, output) = gantry.start(&pod).wait();
    let (said, warnings) = (text(&output.stdout), text(&output.stderr));
    let warning = "warning: isolator resource/tasks of the pod is not enforced: the pod's cgroup has no pids \
                   controller; its apps may have 200 together\n";
    if warnings.is_empty() {
        assert!(code != 0 && said != "many\nmany\n", "the shell of at least one can't fork: {code} {said}");
    } else {
        assert_eq!((code, said.as_str(), warnings.as_str()), (0, "many\nmany\n", warning));
    }
    let table = fs::read_to_string("/proc/self/cgroup").unwrap();
    let is_v1 = table.lines().any(|line| line.split(':').nth(1).is_some_and(|name| name.contains("pids")));
    assert!(!is_v1 || warnings == warning, "{warnings}");
}

const SYSCTLS: [(&str, &str); 5] = [
    ("net.ipv4.tcp_keepalive_time", "77"),
    ("net.core.somaxconn", "99"),
    ("kernel.msgmax", "4097"),
    ("kernel.shmmni", "77"),
    ("fs.mqueue.msg_max", "7"),
];

/// The values of the host's sysctls, as far as they can be read and written.
struct Sysctls(BTreeMap<PathBuf, Vec<u8>>);

impl Sysctls {
    fn of_host() -> Self {
        let mut ahead: Vec<PathBuf> =
            ["kernel", "fs", "vm", "net"].map(|name| format!("/proc/sys/{name}").into()).into();
        let mut all = BTreeMap::new();
        while let Some(directory) = ahead.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let (path, Ok(metadata)) = (entry.path(), entry.metadata()) else { continue };
                // These change by themselves, or with the links of other tests.
                let is_fixed = ["random", "ns_last_pid", "/conf/", "/neigh/", "conntrack"]
                    .iter()
                    .all(|part| !path.to_string_lossy().contains(part));
                if metadata.is_dir() {
                    ahead.push(path);
                } else if metadata.permissions().mode() & 0o200 != 0 && is_fixed {
                    all.extend(fs::read(&path).map(|value| (path, value)));
                }
            }
        }
        assert!(all.len() > 100, "{}", all.len());
        Self(all)
    }

    /// Checks that all are as they were.
    #[track_caller]
    fn check(&self) {
        let now = Self::of_host().0;
        let differs = |path: &&PathBuf| self.0.get(*path) != now.get(*path);
        assert_eq!(self.0.keys().filter(differs).collect::<Vec<_>>(), Vec::<&PathBuf>::new());
    }
}

#[root_test]
fn sysctls_are_the_pods_and_none_is_the_hosts() {
    let gantry = Gantry::new();
    let before = Sysctls::of_host();
    let paths: Vec<_> =
        SYSCTLS.iter().map(|(name, _)| format!("/proc/sys/{}", name.replace('.', "/"))).collect();
    let show = format!("cat {}", paths.join(" "));
    let expected: String = SYSCTLS.iter().map(|(_, value)| format!("{value}\n")).collect();
    let values: serde_json::Map<_, _> =
        SYSCTLS.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    for (users, net) in [("own", "private"), ("shared", "none"), ("host", "private")] {
        let app = json!({"name": "a", "app": script("", &show)});
        let more = json!({
            "isolators": [{"name": "os/unix/sysctl", "value": values}],
            "annotations": [{"name": "gantry/users", "value": users}, {"name": "gantry/net", "value": net}],
        });
        assert_eq!(succeed(&gantry, &prepare(&gantry, &[app], &more)), expected, "{users}");
        // A pod that asks for none has the kernel's.
        let app = json!({"name": "a", "app": script("", &show)});
        assert_ne!(succeed(&gantry, &prepare(&gantry, &[app], &json!({}))), expected);
    }
    gantry.wait_all();
    before.check();
}

/// What is a sysctl of the network by its name, but not one of a pod's network, is not there.
#[root_test]
fn an_isolator_reaches_no_sysctl_of_the_hosts() {
    let gantry = Gantry::new();
    let before = Sysctls::of_host();
    let app = || json!({"name": "a", "app": script("", "echo ran")});
    let isolator =
        |name: &str, value: &str| json!({"isolators": [{"name": "os/unix/sysctl", "value": {name: value}}]});
    for name in [
        "kernel.core_pattern",
        "kernel/core_pattern",
        "kernel.hostname",
        "kernel.modprobe",
        "kernel.shmmax/../core_pattern",
        "net/../kernel/core_pattern",
        "net.ipv4/../../kernel/core_pattern",
        "vm.overcommit_memory",
        "fs.mqueue/../file-max",
        "fs.suid_dumpable",
        "user.max_user_namespaces",
    ] {
        let output = refused_or_prepared(&gantry, &[app()], &isolator(name, "|/evil"));
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{name}: {said}");
        assert!(said.contains("isolator os/unix/sysctl") && said.contains("expected"), "{said}");
    }
    for (name, value, why) in [
        ("net.core.bpf_jit_harden", "2", "No such file"),
        ("net.none", "1", "No such file"),
        ("net.ipv4.tcp_keepalive_time", "none", "Invalid argument"),
    ] {
        let pod = prepare(&gantry, &[app()], &isolator(name, value));
        let (code, output) = gantry.start(&pod).wait();
        let said = text(&output.stderr);
        assert_eq!((code, text(&output.stdout).as_str(), said.lines().count()), (3, "", 1), "{name}: {said}");
        assert!(said.contains(&format!("cannot set the sysctl {name} of the pod to {value}")), "{said}");
        assert!(said.contains(why), "{said}");
    }
    gantry.wait_all();
    before.check();
}

/// Without a limit, it would take milliseconds.
#[root_test]
fn a_pod_sends_and_receives_no_faster_than_its_limit() {
    use std::io::{Read as _, Write as _};
    let gantry = Gantry::new();
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = std::thread::spawn(move || {
        let (mut sender, _) = listener.accept().unwrap();
        let (start, mut received) = (std::time::Instant::now(), Vec::new());
        sender.read_to_end(&mut received).unwrap();
        let sent = (received.len(), start.elapsed());
        // nc waits for that.
        drop(sender);
        let (mut receiver, _) = listener.accept().unwrap();
        let start = std::time::Instant::now();
        receiver.write_all(&[7; 5 << 20]).unwrap();
        receiver.shutdown(std::net::Shutdown::Write).unwrap();
        receiver.read_to_end(&mut received).unwrap();
        (sent, start.elapsed())
    });
    let words = format!(
        "dd if=/dev/zero bs=1k count=3072 2>/dev/null | nc host.gantry.internal {port}; \
         nc host.gantry.internal {port} </dev/null | wc -c"
    );
    let app = json!({"name": "a", "app": script("", &words)});
    let rate = json!({"name": "resource/network-bandwidth", "value": {"default": true, "limit": "1Mi"}});
    let pod = prepare(&gantry, &[app], &json!({"isolators": [rate]}));
    assert_eq!(succeed(&gantry, &pod), format!("{}\n", 5 << 20));
    let ((count, sending), receiving) = host.join().unwrap();
    gantry.wait_all();
    assert_eq!(count, 3 << 20);
    // What waits in sockets and queues is sent without waiting.
    for took in [sending, receiving] {
        assert!(took > std::time::Duration::from_millis(1500), "{sending:?} {receiving:?}");
    }
}
