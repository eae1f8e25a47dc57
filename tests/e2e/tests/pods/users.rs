// SPDX-License-Identifier: Apache-2.0
//! Whose users an app's users are: its own, the pod's or the host's.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use gate::root_test;
use serde_json::{Value, json};
use sys::locks::try_lock_record;
use testing::image::manifest;
use testing::layers::{LAYOUTS, Layout, of_one_image, one, prepare, succeed};
use testing::pods::{Gantry, Running, image_id, status, text};
use testing::rootfs::{Node, Rootfs};

/// The number of ids in a block.
const BLOCK: u32 = 1 << 16;
/// nspawn's directory of locks on blocks.
const LOCKS: &str = "/run/systemd/nspawn-uid";

fn annotation(users: &str) -> Value {
    json!([{"name": "gantry/users", "value": users}])
}

/// Prepares a pod of one app with this annotation about the whole pod.
pub(crate) fn annotated(
    gantry: &Gantry,
    users: &str,
    app: &Value,
    rootfs: &Rootfs,
    layout: Layout,
) -> PathBuf {
    let image = gantry.image("annotated", rootfs, &manifest("annotated", &["true"]));
    let apps = json!([{"name": "one", "image": {"id": image_id(&image)}, "app": app}]);
    let pod = json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": apps, "annotations": annotation(users)});
    let path = gantry.beside("annotated.json");
    fs::write(&path, pod.to_string()).unwrap();
    prepare(gantry, layout, &[&image], &["--pod-manifest", path.to_str().unwrap()])
}

pub(crate) fn app(user: &str, script: &str) -> Value {
    json!({"exec": ["/bin/sh", "-c", script], "user": user, "group": user})
}

/// Lists the users of a running pod's processes, by the host's ids.
fn users_of(running: &Running) -> BTreeSet<u32> {
    let namespace = fs::read_link(format!("/proc/{}/ns/pid", running.systemd())).unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let of_pod =
        processes.filter(|process| fs::read_link(process.join("ns/pid")).ok() == Some(namespace.clone()));
    of_pod.filter_map(|process| Some(fs::metadata(process).ok()?.uid())).collect()
}

#[root_test]
fn users_of_apps_are_nobody_on_the_host_and_to_each_other() {
    for layout in LAYOUTS {
        let gantry = Gantry::new();
        let script = "echo up; exec sleep 1000";
        let pod = of_one_image(&gantry, layout, &[("a", script), ("b", script)], &json!({}));
        let mut running = gantry.start(&pod);
        running.wait_for("up\n");
        running.wait_for("up\n");
        let users: Vec<_> = users_of(&running).into_iter().collect();
        let first = users[0];
        assert!(first >= 0x4000_0000 && first % BLOCK == 0, "{users:?}");
        assert_eq!(users, [first, first + BLOCK, first + 2 * BLOCK], "{layout:?}");
        for user in users {
            let lock = File::options().write(true).open(format!("{LOCKS}/{user}")).unwrap();
            assert!(!try_lock_record(lock).unwrap(), "nobody has {user}");
        }
        running.signal(nix::sys::signal::Signal::SIGTERM);
        assert_eq!(running.wait().0, 0);
        gantry.wait_all();
        assert!(!Path::new(&format!("{LOCKS}/{first}")).exists());
    }
}

#[root_test]
fn on_disk_owners_are_the_images_whatever_ids_the_pod_had() {
    let script =
        "touch /made; chown 7:8 /made; stat -c %u:%g / /made /owned /etc /tmp; cat /proc/self/uid_map";
    for layout in LAYOUTS {
        let gantry = Gantry::new();
        let rootfs = Rootfs::busybox().unwrap().owned("owned", Node::File(0o600, "x".into()), 65_534);
        let pod = one(&gantry, layout, &rootfs, script);
        let first = succeed(&gantry, &pod);
        assert!(first.starts_with("0:0\n7:8\n65534:65534\n0:0\n0:0\n"), "{first}");
        // Others have the ids of the first start by now.
        let outside = first.split_whitespace().nth(6).unwrap();
        let pods_block = outside.parse::<u32>().unwrap();
        let kept = find(&pod, "made").into_iter().map(|path| fs::symlink_metadata(path).unwrap());
        let owners: BTreeSet<_> = kept.map(|made| (made.uid(), made.gid())).collect();
        assert_eq!(owners, BTreeSet::from([(7, 8)]), "{layout:?}");
        let others: Vec<_> = find_by(&pod, |stat| stat.uid() >= BLOCK || stat.gid() >= BLOCK);
        assert!(others.is_empty(), "{others:?}");
        assert_eq!(pods_block, BLOCK, "an app's block follows the pod's");
        // The second start can't have the ids that it would choose.
        let plan =
            std::process::Command::new("./stage1/init").arg("--dry-run").current_dir(&pod).output().unwrap();
        let plan = text(&plan.stdout);
        let (_, choice) = plan.split_once("ids from the host's ").unwrap();
        let choice: u32 = choice.split(' ').next().unwrap().parse().unwrap();
        fs::create_dir_all(LOCKS).unwrap();
        let taken = File::create(format!("{LOCKS}/{choice}")).unwrap();
        assert!(try_lock_record(&taken).unwrap());
        let mut running = gantry.start(&pod);
        running.wait_for("65536\n");
        let (code, output) = running.wait();
        assert_eq!(code, 0, "{}", text(&output.stderr));
        fs::remove_file(format!("{LOCKS}/{choice}")).unwrap();
        let _ = fs::remove_dir(LOCKS);
        let _ = fs::remove_dir("/run/systemd");
        assert!(find_by(&pod, |stat| stat.uid() >= BLOCK || stat.gid() >= BLOCK).is_empty());
        assert!(gantry.installer().arg("verify").output().unwrap().status.success());
    }
}

fn find(directory: &Path, name: &str) -> Vec<PathBuf> {
    let output = std::process::Command::new("find").arg(directory).args(["-name", name]).output().unwrap();
    text(&output.stdout).lines().map(PathBuf::from).collect()
}

fn find_by(directory: &Path, is_it: impl Fn(&fs::Metadata) -> bool) -> Vec<PathBuf> {
    let output = std::process::Command::new("find").arg(directory).output().unwrap();
    let all = text(&output.stdout);
    let paths = all.lines().map(PathBuf::from);
    paths.filter(|path| fs::symlink_metadata(path).is_ok_and(|stat| is_it(&stat))).collect()
}

#[root_test]
fn with_the_hosts_users_root_is_root_and_every_id_there_is() {
    let rootfs = Rootfs::busybox().unwrap();
    for layout in LAYOUTS {
        let gantry = Gantry::new();
        let map = "cat /proc/self/uid_map; mknod /tmp/made c 1 3 && ls -ln /tmp/made | grep -c '^c'";
        let pod = annotated(&gantry, "host", &app("0", map), &rootfs, layout);
        let found = succeed(&gantry, &pod);
        assert_eq!(found.split_whitespace().collect::<Vec<_>>(), ["0", "0", "4294967295", "1"], "{layout:?}");
    }
    let gantry = Gantry::new();
    let pod = annotated(&gantry, "host", &app("4294967294", "id -u"), &rootfs, Layout::Overlay);
    assert_eq!(succeed(&gantry, &pod), "4294967294\n");
}

#[root_test]
fn apps_with_the_pods_users_share_them() {
    let gantry = Gantry::new();
    let pod = annotated(
        &gantry,
        "shared",
        &app("0", "cat /proc/self/uid_map; cut -d' ' -f1 /proc/1/stat; stat -c %u /proc/1"),
        &Rootfs::busybox().unwrap(),
        Layout::Overlay,
    );
    let found = succeed(&gantry, &pod);
    let words: Vec<_> = found.split_whitespace().collect();
    let first: u32 = words[1].parse().unwrap();
    assert!(first >= 0x4000_0000, "{found}");
    assert_eq!(words, ["0", words[1], "131072", "1", "0"]);
}

/// Some capabilities count only in the user namespace that the pod's other namespaces belong to.
#[root_test]
fn an_app_that_retains_what_only_the_pods_users_can_have_has_those_with_a_warning() {
    let gantry = Gantry::new();
    let mut image = manifest("admin", &["/bin/sh", "-c", "mount -t tmpfs none /tmp && echo mounted"]);
    image["app"]["isolators"] =
        json!([{"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_SYS_ADMIN"]}}]);
    let image = gantry.image("admin", &Rootfs::busybox().unwrap(), &image);
    let output = gantry.run(&[&image]);
    let warning = "warning: app admin has CAP_SYS_ADMIN, which only the pod's own users can have";
    assert!(text(&output.stderr).contains(warning), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "mounted\n");
    assert_eq!(status(&gantry.pod(), "admin"), 0);
}

/// A file of one app's in a volume belongs to the same number in the other.
#[root_test]
fn a_volume_of_two_apps_works_for_both() {
    let gantry = Gantry::new();
    let image = gantry.image("both", &Rootfs::busybox().unwrap(), &manifest("both", &["true"]));
    let id = image_id(&image);
    let write =
        "umask 077; echo secret > /v/new && mv /v/new /v/file && until [ -e /v/read ]; do sleep 0.05; done";
    let read = "until [ -e /v/file ]; do sleep 0.05; done; cat /v/file; stat -c %u:%a /v/file; touch /v/read";
    let entry = |name: &str, script: &str| {
        let mounts = json!([{"volume": "v", "path": "/v"}]);
        json!({"name": name, "image": {"id": id}, "app": app("0", script), "mounts": mounts})
    };
    let host = gantry.beside("host");
    fs::create_dir(&host).unwrap();
    let source = host.to_str().unwrap();
    for volume in
        [json!({"name": "v", "kind": "empty"}), json!({"name": "v", "kind": "host", "source": source})]
    {
        let apps = [entry("writes", write), entry("reads", read)];
        let pod = json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": apps, "volumes": [volume]});
        let path = gantry.beside("both.json");
        fs::write(&path, pod.to_string()).unwrap();
        let pod = gantry.prepare(&[&image], &["--pod-manifest", path.to_str().unwrap()]);
        assert_eq!(succeed(&gantry, &pod), "secret\n0:600\n");
    }
    assert_eq!(fs::metadata(host.join("file")).unwrap().uid(), 0);
}

/// Root in one app has no power over the other app or over systemd.
#[root_test]
fn apps_can_not_reach_each_other_or_systemd() {
    let gantry = Gantry::new();
    let victim = "export SECRET=s; echo $$ > /v/pid; echo up; exec sleep 1000";
    let attack = "until read pid < /v/pid; do sleep 0.05; done; \
                  for try in \"cat /proc/$pid/environ\" \"ls /proc/$pid/root/\" \"ls /proc/$pid/fd\" \"kill -0 $pid\" \
                  \"cat /proc/1/environ\" \"ls /proc/1/root/\" \"kill -0 1\"; do \
                  $try > /dev/null 2>&1 && echo \"got through: $try\"; done; echo done";
    let image = gantry.image("both", &Rootfs::busybox().unwrap(), &manifest("both", &["true"]));
    let id = image_id(&image);
    for (users, safe) in [("own", true), ("shared", false)] {
        let entry = |name: &str, script: &str| {
            let mounts = json!([{"volume": "v", "path": "/v"}]);
            json!({"name": name, "image": {"id": id}, "app": app("0", script), "mounts": mounts})
        };
        let pod = json!({"acKind": "PodManifest", "acVersion": "0.8.11", "annotations": annotation(users),
            "apps": [entry("victim", victim), entry("attacker", attack)], "volumes": [{"name": "v", "kind": "empty"}]});
        let path = gantry.beside("both.json");
        fs::write(&path, pod.to_string()).unwrap();
        let pod = gantry.prepare(&[&image], &["--pod-manifest", path.to_str().unwrap()]);
        let mut running = gantry.start(&pod);
        let said = running.read_until(if safe { "done\n" } else { "got through" });
        assert!(!said.contains("got through"), "{users}: {said}");
        running.signal(nix::sys::signal::Signal::SIGTERM);
        running.wait();
        gantry.wait_all();
    }
}

/// A limit of one app's is none of the other's.
#[root_test]
fn processes_of_an_app_are_limited() {
    let gantry = Gantry::new();
    let image = gantry.image("both", &Rootfs::busybox().unwrap(), &manifest("both", &["true"]));
    let id = image_id(&image);
    let many = "(for i in $(seq 40); do sleep 1000 & done; echo $AC_APP_NAME many; kill $(jobs -p)) 2>/dev/null || echo limited";
    let limit = json!([{"name": "resource/tasks", "value": {"limit": 20}}]);
    let entry = |name: &str, isolators: &Value| {
        let app = json!({"exec": ["/bin/sh", "-c", many], "user": "0", "group": "0", "isolators": isolators});
        json!({"name": name, "image": {"id": id}, "app": app})
    };
    let apps = [entry("limited", &limit), entry("free", &json!([]))];
    let pod = json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": apps});
    let path = gantry.beside("limits.json");
    fs::write(&path, pod.to_string()).unwrap();
    let pod = gantry.prepare(&[&image], &["--pod-manifest", path.to_str().unwrap()]);
    let found = succeed(&gantry, &pod);
    let said: BTreeSet<_> = found.lines().collect();
    assert_eq!(said, BTreeSet::from(["free many", "limited"]));
}
