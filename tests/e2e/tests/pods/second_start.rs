// SPDX-License-Identifier: Apache-2.0
//! What a pod finds when it starts again, or could never start: missing trees, leftovers of a crash, and roots that
//! their own apps left in any state.

use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use gate::root_test;
use nix::sys::signal::Signal;
use pod::layers::Layers;
use pod::layout;
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
use rustix::fs::{FlockOperation, IFlags, flock, ioctl_getflags, ioctl_setflags};
use serde_json::json;
use testing::layers::{LAYOUTS, Layout, layers, of_one_image, one, prepare, succeed, tree};
use testing::pods::{Gantry, status, text};
use testing::rootfs::{Node, Rootfs};

/// Runs until it is told to stop.
const SERVE: &str = "trap 'exit 0' TERM; echo serving; while :; do sleep 3600 & wait; done";

fn busybox() -> Rootfs {
    Rootfs::busybox().unwrap()
}

/// Removes the messages about the time zone, for which there may be no mount point.
fn without_zone(said: &str) -> String {
    said.split_inclusive('\n').filter(|line| !line.contains("has not the host's time zone")).collect()
}

/// Checks that a start fails before anything runs. Returns the code and the only line.
fn refused(gantry: &Gantry, pod: &Path) -> (i32, String) {
    let (code, output) = gantry.start(pod).wait();
    let said = without_zone(&text(&output.stderr));
    assert!(said.starts_with("error: ") && said.lines().count() == 1, "{code}: {said}");
    assert_eq!(text(&output.stdout), "");
    (code, said)
}

/// Returns the directories of stage1's tree, and of the only image's.
fn trees(gantry: &Gantry, pod: &Path) -> [PathBuf; 2] {
    let Layers::Overlay { stage1, images } = layers(pod) else { panic!("they are in the store") };
    [stage1, *images.values().next().unwrap()].map(|name| tree(&gantry.dir(), &name))
}

#[root_test]
fn a_tree_that_is_missing_is_named() {
    let gantry = Gantry::new();
    let pod = one(&gantry, Layout::Overlay, &busybox(), "echo runs");
    for tree in trees(&gantry, &pod) {
        let away = gantry.beside("away");
        fs::rename(&tree, &away).unwrap();
        let (code, said) = refused(&gantry, &pod);
        assert_eq!(code, 1);
        for part in [&tree, &pod].map(|path| path.file_name().unwrap().to_string_lossy()) {
            assert!(said.contains(&*part), "{said}");
        }
        assert!(said.contains("expected what it was made of to be imported again"), "{said}");
        fs::rename(&away, &tree).unwrap();
    }
    let store = gantry.dir().join(layout::STORE);
    fs::set_permissions(&store, fs::Permissions::from_mode(0o770)).unwrap();
    assert!(refused(&gantry, &pod).1.contains("others than its owner can write there"));
    fs::set_permissions(&store, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(succeed(&gantry, &pod), "runs\n");
}

#[root_test]
fn trees_are_locked_until_nothing_is_left_of_the_pod() {
    let gantry = Gantry::new();
    let pod = one(&gantry, Layout::Overlay, &busybox(), SERVE);
    let trees = trees(&gantry, &pod).map(|tree| File::open(tree).unwrap());
    let locked = || trees.iter().map(|tree| flock(tree, FlockOperation::NonBlockingLockExclusive).is_err());
    let mut running = gantry.start(&pod);
    running.wait_for("serving");
    assert_eq!(locked().collect::<Vec<_>>(), [true, true]);
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().0, 0);
    assert_eq!(locked().collect::<Vec<_>>(), [false, false]);
}

/// It is seen from the host while the pod runs.
#[root_test]
fn a_status_is_there_while_others_run() {
    for layout in LAYOUTS {
        let gantry = Gantry::new();
        let pod = of_one_image(&gantry, layout, &[("a", "exit 0"), ("b", SERVE)], &json!({}));
        let statuses = pod.join("stage1").join(layout::STATUS);
        fs::create_dir_all(&statuses).unwrap();
        let watch = init(CreateFlags::CLOEXEC).unwrap();
        add_watch(&watch, statuses, WatchFlags::MOVED_TO).unwrap();
        let mut running = gantry.start(&pod);
        running.wait_for("serving");
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(&watch, &mut buffer);
        assert_eq!(events.next().unwrap().file_name().unwrap().to_str(), Ok("a"), "{layout:?}");
        assert_eq!(status(&pod, "a"), 0, "{layout:?}");
        running.signal(Signal::SIGTERM);
        assert_eq!(running.wait().0, 0);
        assert_eq!(status(&pod, "b"), 0);
    }
}

#[root_test]
fn leftovers_of_a_crash_are_in_nobodys_way() {
    let gantry = Gantry::new();
    let pod = one(&gantry, Layout::Overlay, &busybox(), &format!("ls -d /mark; echo > /mark; {SERVE}"));
    let upper = pod.join("stage1/rkt/upper/one");
    // A first start that got no further leaves this.
    fs::create_dir_all(upper.join("changes.new")).unwrap();
    for found in ["", "/mark\n", "/mark\n"] {
        for work in [pod.join("work"), upper.join("work")] {
            for path in ["work/a/b/c/d", "index/x/y", "other"] {
                fs::create_dir_all(work.join(path)).unwrap();
            }
            fs::write(work.join("work/a/b/c/d/file"), "").unwrap();
        }
        let mut running = gantry.start(&pod);
        assert_eq!(running.read_until("serving"), found);
        running.signal(Signal::SIGKILL);
        assert_eq!(running.wait().0, 137);
    }
    assert!(!upper.join("changes.new").exists());
}

#[root_test]
fn where_an_overlay_can_not_be_written_to_the_other_layout_is_named() {
    let gantry = Gantry::new();
    let pod = one(&gantry, Layout::Overlay, &busybox(), "echo runs");
    assert_eq!(succeed(&gantry, &pod), "runs\n");
    for work in [pod.join("work"), pod.join("stage1/rkt/upper/one/work")] {
        // The kernel finds that it can't use the work directory, and would mount the overlay read-only.
        fs::remove_dir_all(work.join("work")).unwrap();
        let directory = File::open(&work).unwrap();
        let flags = ioctl_getflags(&directory).unwrap();
        ioctl_setflags(&directory, flags | IFlags::IMMUTABLE).unwrap();
        let found = gantry.start(&pod).wait();
        ioctl_setflags(&directory, flags).unwrap();
        let said = text(&found.1.stderr);
        assert_eq!((found.0, said.lines().count()), (3, 1), "{said}");
        assert!(said.contains("prepared with --layout copy") && said.contains("can't hold"), "{said}");

        let script = "mount --bind \"$1\" \"$1\" && exec ./stage1/init";
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]).arg(&work);
        let output = command.current_dir(&pod).output().unwrap();
        gantry.wait_all();
        // Layers are taken without what is mounted in them.
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    }
    assert_eq!(succeed(&gantry, &pod), "runs\n");
}

/// What an app does to its own root, and whether the pod starts again; if not, what the line names.
const WRECKS: [(&str, Result<(), &str>); 13] = [
    ("ln -sf $CANARY/file /etc/hosts", Ok(())),
    ("rm /etc/hosts; mkdir /etc/hosts", Ok(())),
    ("rm /etc/hosts /etc/passwd; busybox mkfifo /etc/hosts /etc/passwd", Ok(())),
    ("rm /etc/hosts; busybox mknod /etc/hosts p", Ok(())),
    ("rm -r /tmp; echo > /tmp", Err("/tmp")),
    ("rm -r /tmp; ln -s $CANARY /tmp", Err("/tmp")),
    ("rm -f /etc/localtime; mkdir /etc/localtime", Ok(())),
    ("mv /etc /other; ln -s / /etc", Ok(())),
    ("mv /etc /other; echo > /etc", Ok(())),
    ("mv /etc /other; ln -s $CANARY /etc", Err("/etc")),
    ("rm -rf /usr/share; ln -s $CANARY /usr/share", Ok(())),
    ("mv /deep /other; ln -s $CANARY /deep", Err("volume at \"/deep/in/it\"")),
    ("chmod 0 / /etc; chown 12:34 / /etc", Ok(())),
];

/// Makes the pod's hosts files usual ones, as if its manifest were written by hand.
fn forget_hosts(pod: &Path) {
    let path = pod.join("container");
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["annotations"].as_array_mut().unwrap().retain(|one| one["name"] != "gantry/hosts");
    fs::write(path, manifest.to_string()).unwrap();
}

#[root_test]
fn a_root_that_its_app_has_wrecked_leads_nowhere() {
    let gantry = Gantry::new();
    let canary = gantry.beside("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("file"), "canary").unwrap();
    let mv = Node::Link("busybox".into());
    let rootfs = busybox()
        .with("etc/hosts", Node::File(0o644, b"127.0.0.1 own\n".to_vec()))
        .with("usr/bin/mv", mv.clone())
        .with("usr/bin/ln", mv.clone())
        .with("usr/bin/chmod", mv.clone())
        .with("usr/bin/chown", mv);
    for layout in LAYOUTS {
        for (number, (wreck, again)) in WRECKS.iter().enumerate() {
            let script = format!(
                "[ ! -e /done ] || {{ echo again; exit 0; }}; echo > /done; CANARY={}; {wreck}",
                canary.display()
            );
            let mut image = testing::image::manifest("one", &["/bin/sh", "-c", &script]);
            image["app"]["mountPoints"] = json!([{"name": "v", "path": "/deep/in/it"}]);
            let image = gantry.image(&format!("wreck-{number}"), &rootfs, &image);
            // A hosts file that is the app's own to change.
            let pod = prepare(&gantry, layout, &[&image], &["--volume", "v,kind=empty", "--hosts", "none"]);
            assert_eq!(succeed(&gantry, &pod), "", "{layout:?}: {wreck}");
            forget_hosts(&pod);
            match again {
                Ok(()) => {
                    let (code, output) = gantry.start(&pod).wait();
                    let said = (code, text(&output.stdout), without_zone(&text(&output.stderr)));
                    assert_eq!(said, (0, "again\n".into(), String::new()), "{layout:?}: {wreck}");
                }
                Err(part) => {
                    let (code, said) = refused(&gantry, &pod);
                    assert!(code == 3 && said.contains(part), "{layout:?}: {wreck}: {said}");
                }
            }
            fs::remove_dir_all(&pod).unwrap();
        }
    }
    assert_eq!(fs::read_dir(&canary).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(canary.join("file")).unwrap(), "canary");
}
