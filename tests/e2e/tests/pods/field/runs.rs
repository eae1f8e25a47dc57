// SPDX-License-Identifier: Apache-2.0
//! What an app finds at each of its runs: /run as the image has it, /tmp where it asks for that, and volumes that are reached by
//! links.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use gate::root_test;
use nix::sys::signal::Signal::SIGKILL;
use testing::image::with_handler;
use testing::pods::{Gantry, assert_says, text};
use testing::rootfs::{Node, Rootfs};

use super::{annotate, roots, run, run_tree, wrote};

/// As a program that refuses to start beside another one of its kind: dbus, apache, rsyslog.
const LOCKS: &str = "[ -e /run/pid ] && exit 9; echo > /run/pid; ";

fn file(content: &str) -> Node {
    Node::File(0o640, content.into())
}

/// Returns a tree whose image has something in /run.
fn with_run() -> Rootfs {
    let tree = Rootfs::busybox().unwrap().owned("run/service", Node::Directory(0o1770), 7);
    let tree = tree.owned("run/service/of-image", file("image\n"), 8);
    tree.with("run/link", Node::Link("service/of-image".into()))
}

const LOOKS: &str = "stat -c '%a %u' /run/service /run/service/of-image; cat /run/link; echo > /run/link; rm /run/link; ls /run; ";
const SEEN: &str = "1770 7\n640 8\nimage\npid\nservice\n";

#[root_test]
fn run_begins_as_the_image_has_it_after_a_kill() {
    let gantry = Gantry::new();
    let script = format!("{LOCKS}{LOOKS}echo up; sleep 1000 & wait");
    for layout in ["overlay", "copy"] {
        let image = gantry.image("field", &with_run(), &roots(&script));
        let pod = gantry.prepare(&[&image], &["--layout", layout]);
        for _ in 0..2 {
            let mut running = gantry.start(&pod);
            assert_eq!(running.read_until("up"), SEEN, "{layout}");
            running.signal(SIGKILL);
            running.wait();
            gantry.wait_all();
        }
    }
}

#[root_test]
fn run_begins_anew_where_an_app_is_started_again_and_its_handlers_have_the_same() {
    for handlers in [false, true] {
        let gantry = Gantry::new();
        let volume = gantry.beside("volume");
        fs::create_dir(&volume).unwrap();
        // What is mounted there stays, with what is in it.
        let script = format!(
            "[ $(id -u) = 0 ] || exit 8; {LOCKS}{LOOKS}echo >> /runs; echo >> /run/volume/runs; \
             mkdir -p /run/deep/er; chmod 700 /run; [ $(wc -l < /runs) = 3 ] || exit 3; wc -l < /run/volume/runs"
        );
        let script = script.replace("; ls /run; ", "; ls /run | grep -v -e volume -e pre-start; ");
        let mut image = roots(&script);
        if handlers {
            image =
                with_handler(image, "pre-start", "[ -e /run/pre-start ] && exit 7; echo > /run/pre-start");
            image =
                with_handler(image, "post-stop", "[ -e /run/pid ] && [ -e /run/pre-start ] && echo after");
        }
        annotate(&mut image, "gantry/restart", "on-failure");
        let mount = format!("{}:/run/volume", volume.display());
        let output = run_tree(&gantry, &with_run(), &image, &["-v", &mount]);
        let after = if handlers { "after\n" } else { "" };
        let run = format!("{SEEN}{after}");
        wrote(&output, &format!("{run}{run}{SEEN}3\n{after}"));
    }
}

/// With a read-only root, as the app's user, and where /var/run is no link.
#[root_test]
fn every_image_has_a_run_in_memory() {
    let gantry = Gantry::new();
    let look = "echo > /run/own && stat -f -c %T /run; stat -c '%a %u' /run; ls -A /run";
    wrote(&run(&gantry, &roots(look), &["--read-only"]), "tmpfs\n755 0\nown\n");
    let old = Rootfs::busybox().unwrap().with("var/run/of-image", file("x"));
    let image = roots("stat -f -c %T /var/run; ls /var/run; echo > /var/run/own");
    let image = gantry.image("field", &old, &image);
    let pod = gantry.prepare(&[&image], &[]);
    for _ in 0..2 {
        let (code, output) = gantry.start(&pod).wait();
        assert_eq!(
            (code, text(&output.stdout).as_str()),
            (0, "tmpfs\nof-image\n"),
            "{}",
            text(&output.stderr)
        );
        gantry.wait_all();
    }
    for link in ["var/run", "/var/run", "var/missing"] {
        let linked = Rootfs::busybox().unwrap().with("run", Node::Link(link.into()));
        let output = run_tree(&gantry, &linked, &roots("stat -f -c %T /run/; echo > /run/own"), &[]);
        wrote(&output, "tmpfs\n");
    }
    let file = Rootfs::busybox().unwrap().with("run", file(""));
    let output = run_tree(&gantry, &file, &roots("true"), &[]);
    assert_eq!(output.status.code(), Some(254));
    assert_says(&text(&output.stderr), &["/run is no directory"]);
}

#[root_test]
fn more_than_run_holds_is_refused_with_the_way_out() {
    let gantry = Gantry::new();
    let big = Node::File(0o644, vec![1; 65 << 20]);
    let output = run_tree(&gantry, &Rootfs::busybox().unwrap().with("run/big", big), &roots("true"), &[]);
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(254), 1), "{said}");
    assert_says(&said, &["app field", "/run", "67108864 bytes", "a volume there"]);
}

#[root_test]
fn tmp_begins_as_the_image_has_it_where_an_annotation_says_so() {
    let gantry = Gantry::new();
    let tree = Rootfs::busybox().unwrap().with("tmp/of-image", file("x"));
    for (annotation, size, expected) in [
        (None, None, ["of-image\n", "of-image\nown\n"]),
        (Some("kept"), None, ["of-image\n", "of-image\nown\n"]),
        (Some("fresh"), None, ["of-image\n1777\ntmpfs\n"; 2]),
        (Some("fresh"), Some("1Mi"), ["of-image\n1777\ntmpfs\n"; 2]),
    ] {
        let mut image = roots("ls /tmp; echo > /tmp/own");
        if let Some(value) = annotation {
            annotate(&mut image, "gantry/tmp", value);
            if value == "fresh" {
                image = roots("ls /tmp; stat -c %a /tmp; stat -f -c %T /tmp; echo > /tmp/own");
                annotate(&mut image, "gantry/tmp", value);
            }
        }
        if let Some(size) = size {
            image["app"]["isolators"] =
                serde_json::json!([{"name": "resource/tmp", "value": {"limit": size}}]);
        }
        let image = gantry.image("field", &tree, &image);
        let pod = gantry.prepare(&[&image], &[]);
        for expected in expected {
            let (code, output) = gantry.start(&pod).wait();
            assert_eq!((code, text(&output.stdout).as_str()), (0, expected), "{annotation:?}");
            gantry.wait_all();
        }
    }
}

/// /var/run and /bin are links on most hosts.
#[root_test]
fn a_volume_by_a_link_is_refused_unless_it_says_that_links_are_followed() {
    let gantry = Gantry::new();
    let [target, other, link] = ["target", "other", "link"].map(|name| gantry.beside(name));
    for (directory, content) in [(&target, "target\n"), (&other, "other\n")] {
        fs::create_dir(directory).unwrap();
        fs::write(directory.join("file"), content).unwrap();
    }
    let point = |to: &Path| {
        let _ = fs::remove_file(&link);
        symlink(to, &link).unwrap();
    };
    point(&target);
    let mut image = roots("cat /data/file");
    image["app"]["mountPoints"] = serde_json::json!([{"name": "data", "path": "/data"}]);
    let image = gantry.image("field", &Rootfs::busybox().unwrap(), &image);
    let volume = format!("data,kind=host,source={}", link.display());
    let refused = gantry.with_images("run", &[&image], &["--volume", &volume]).output().unwrap();
    assert_eq!(refused.status.code(), Some(254));
    assert_says(&text(&refused.stderr), &[link.to_str().unwrap(), "is a link", "followLinks=true"]);
    let pod = gantry.prepare(&[&image], &["--volume", &format!("{volume},followLinks=true")]);
    // It is resolved at each start, and what is mounted is what was opened then.
    for (to, expected) in [(&target, "target\n"), (&other, "other\n")] {
        point(to);
        let (code, output) = gantry.start(&pod).wait();
        assert_eq!((code, text(&output.stdout).as_str()), (0, expected), "{}", text(&output.stderr));
        gantry.wait_all();
    }
    // Not through a link to what a process has open, and not to nothing.
    for (to, expected) in [("/proc/self/root", "ELOOP"), ("/none/such", "ENOENT")] {
        point(Path::new(to));
        let output = gantry.start(&pod).wait().1;
        let said = text(&output.stderr);
        let why = if expected == "ELOOP" { "Symbolic link loop" } else { "No such file" };
        assert_says(&said, &[link.to_str().unwrap(), why]);
        assert_eq!(said.lines().count(), 1, "{said}");
        gantry.wait_all();
    }
}
