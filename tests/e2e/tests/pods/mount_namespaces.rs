// SPDX-License-Identifier: Apache-2.0
//! What is mounted in the mount namespace of every app, covered or not, as the host sees it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use gate::root_test;
use nix::fcntl::{OFlag, openat};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use serde_json::json;
use testing::image::manifest;
use testing::layers::{LAYOUTS, Layout, prepare};
use testing::pods::{Gantry, Running, image_id};
use testing::rootfs::Rootfs;

/// A mount, as a line of mountinfo has it (proc_pid_mountinfo(5)).
#[derive(Debug)]
struct Mount {
    id: String,
    parent: String,
    device: String,
    root: String,
    at: String,
    kind: String,
}

impl Mount {
    fn parse(line: &str) -> Self {
        let fields: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let separator = fields.iter().position(|field| field == "-").expect("a line has two parts");
        let [id, parent, device, root, at] = std::array::from_fn(|index| fields[index].clone());
        Self { id, parent, device, root, at, kind: fields[separator + 1].clone() }
    }
}

/// Lists all that is mounted in the mount namespace of a process. A thread that enters a namespace has the root of all of it,
/// whatever the process's own root is.
fn mounts_of(process: &str) -> Vec<Mount> {
    let process = process.to_owned();
    let read = move || {
        let proc = File::open("/proc").unwrap();
        let namespace = File::open(format!("/proc/{process}/ns/mnt")).unwrap();
        unshare(CloneFlags::CLONE_FS).unwrap();
        setns(&namespace, CloneFlags::CLONE_NEWNS).unwrap();
        let table = openat(&proc, "thread-self/mountinfo", OFlag::O_RDONLY, Mode::empty()).unwrap();
        let mut text = String::new();
        File::from(table).read_to_string(&mut text).unwrap();
        text.lines().map(Mount::parse).collect()
    };
    std::thread::spawn(read).join().unwrap()
}

/// What of the host's an app may have.
struct Allowed<'a> {
    pod: &'a Path,
    pod_id: &'a str,
    volume: &'a Path,
}

/// Lists what must not be in the mount namespace of an app.
fn offences(mounts: &[Mount], hosts: &BTreeSet<String>, allowed: &Allowed<'_>) -> Vec<String> {
    let ids: BTreeSet<_> = mounts.iter().map(|mount| &mount.id).collect();
    let is_masked = |proc: &Mount| {
        let masks = mounts.iter().filter(|mount| mount.parent == proc.id);
        masks.map(|mount| &mount.at).any(|at| *at == format!("{}/sys", proc.at))
    };
    let mut found = Vec::new();
    for mount in mounts {
        let Mount { device, root, at, kind, .. } = mount;
        if kind == "devtmpfs" {
            found.push(format!("the host's devices at {at}"));
        }
        // Apps have parts of it alone.
        if kind == "sysfs" && root == "/" {
            found.push(format!("a whole sysfs at {at}"));
        }
        // A user namespace may mount what is there without masks (mount_too_revealing, the kernel's fs/namespace.c).
        if kind == "proc" && root == "/" && !is_masked(mount) {
            found.push(format!("proc without masks at {at}"));
        }
        let is_own = match kind.as_str() {
            // One file system for all of the host; its root is the pod's cgroup.
            "cgroup2" => {
                root.starts_with(&format!("/gantry-{}", allowed.pod_id))
                    || root.contains(&format!("/gantry-{}/", allowed.pod_id))
            }
            // The same, without anything of a device's.
            "sysfs" => root != "/",
            _ => [allowed.pod, allowed.volume].iter().any(|path| Path::new(root).starts_with(path)),
        };
        if hosts.contains(device) && !is_own {
            found.push(format!("{root} of the host's {kind} {device} at {at}"));
        }
    }
    let roots: Vec<_> = mounts.iter().filter(|mount| !ids.contains(&mount.parent)).collect();
    if roots.len() != 1 || roots[0].at != "/" {
        found.push(format!("more than one root: {roots:?}"));
    }
    let whole = mounts.iter().filter(|mount| mount.kind == "proc" && mount.root == "/").count();
    if whole != 1 {
        found.push(format!("{whole} whole proc file systems: expected one"));
    }
    found
}

/// Lists the processes of a pod that are in an app's mount namespace, one for each.
fn apps(running: &Running) -> Vec<String> {
    let link = |process: &str, kind: &str| fs::read_link(format!("/proc/{process}/ns/{kind}")).ok();
    let systemd = running.systemd().to_string();
    let (pods, pids) = (link(&systemd, "mnt").unwrap(), link(&systemd, "pid"));
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let processes = processes.map(|entry| entry.file_name().into_string().unwrap());
    let of_pod = processes.filter(|process| link(process, "pid") == pids);
    let mut seen = BTreeSet::from([pods]);
    of_pod.filter(|process| link(process, "mnt").is_some_and(|namespace| seen.insert(namespace))).collect()
}

/// Prepares a pod of apps of every kind.
fn pod(gantry: &Gantry, layout: Layout, users: &str, volume: &Path) -> PathBuf {
    let rootfs = Rootfs::busybox().unwrap();
    let image = gantry.image("app", &rootfs, &manifest("app", &["true"]));
    let app = |name: &str, user: &str, read_only: bool, isolators: &[(&str, &str)]| {
        let isolators: Vec<_> =
            isolators.iter().map(|(name, one)| json!({"name": name, "value": {"set": [one]}})).collect();
        let app = json!({
            "exec": ["/bin/sh", "-c", "echo up; exec sleep 1000"], "user": user, "group": user,
            "isolators": isolators, "mountPoints": [{"name": "data", "path": "/data"}, {"name": "own", "path": "/own"}],
        });
        json!({"name": name, "image": {"id": image_id(&image)}, "app": app, "readOnlyRootFS": read_only})
    };
    let manifest = json!({
        "acKind": "PodManifest", "acVersion": "0.8.11",
        "annotations": [{"name": "gantry/users", "value": users}],
        "apps": [
            app("root", "0", false, &[]),
            app("user", "1000", false, &[]),
            app("read-only", "0", true, &[]),
            app("admin", "0", false, &[("os/linux/capabilities-retain-set", "CAP_SYS_ADMIN")]),
            app("unfiltered", "0", false, &[("os/linux/seccomp-retain-set", "@appc.io/all")]),
        ],
        "volumes": [
            {"name": "data", "kind": "host", "source": volume},
            {"name": "own", "kind": "empty"},
        ],
    });
    let path = gantry.beside("pod.json");
    fs::write(&path, manifest.to_string()).unwrap();
    prepare(gantry, layout, &[&image], &["--pod-manifest", path.to_str().unwrap()])
}

#[root_test]
fn nothing_of_the_hosts_is_in_the_mount_namespace_of_any_app() {
    let hosts: BTreeSet<_> = mounts_of("self").into_iter().map(|mount| mount.device).collect();
    for (layout, users) in
        LAYOUTS.into_iter().flat_map(|layout| ["own", "shared", "host"].map(|users| (layout, users)))
    {
        let gantry = Gantry::new();
        let volume = gantry.beside("volume");
        fs::create_dir(&volume).unwrap();
        let pod = pod(&gantry, layout, users, &volume);
        let mut running = gantry.start(&pod);
        (0..5).for_each(|_| running.wait_for("up"));
        let pod_id = running.pod_id();
        let allowed = Allowed { pod: &pod, pod_id: &pod_id, volume: &volume };
        let apps = apps(&running);
        assert_eq!(apps.len(), 5, "each app has a mount namespace");
        for app in apps {
            let mounts = mounts_of(&app);
            let found = offences(&mounts, &hosts, &allowed);
            assert_eq!(found, [""; 0], "{layout:?}, users {users}: {mounts:#?}");
        }
        running.signal(Signal::SIGTERM);
        assert_eq!(running.wait().0, 0);
    }
}

/// The control.
#[root_test]
fn everything_of_the_hosts_is_found_where_it_is() {
    let mounts = mounts_of("self");
    let hosts = mounts.iter().map(|mount| mount.device.clone()).collect();
    let nowhere = Path::new("/nowhere");
    let found = offences(&mounts, &hosts, &Allowed { pod: nowhere, pod_id: "none", volume: nowhere });
    for part in [
        "the host's devices at /dev",
        "a whole sysfs at /sys",
        "proc without masks at /proc",
        "/ of the host's",
    ] {
        assert!(found.iter().any(|offence| offence.starts_with(part)), "{part}: {found:#?}");
    }
}
