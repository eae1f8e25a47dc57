// SPDX-License-Identifier: Apache-2.0
//! Pods whose trees are in the store, and the same pods with copies: an app's changes are its own and persist.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use gate::root_test;
use pod::layers::Layers;
use pod::layout;
use rustix::fs::{XattrFlags, getxattr, setxattr};
use serde_json::json;
use testing::host::snapshot;
use testing::layers::{LAYOUTS, Layout, layers, of_one_image, one, succeed, tree};
use testing::pods::{Gantry, status, text};
use testing::rootfs::{Node, Rootfs};

/// Lists every object below a directory, with the metadata that rsync compares.
fn listing(directory: &Path) -> String {
    let found =
        Command::new("find").arg(directory).args(["-printf", "%P %y %m %U %G %s %T@ %C@ %l\\n"]).output();
    text(&found.unwrap().stdout)
}

#[root_test]
fn changes_stay_with_the_pod_and_trees_as_they_are() {
    for layout in LAYOUTS {
        let gantry = Gantry::new();
        let pod = one(&gantry, layout, &Rootfs::busybox().unwrap(), "echo >> /starts; wc -l < /starts");
        let before = listing(&gantry.dir().join(layout::STORE));
        for expected in ["1\n", "2\n", "3\n"] {
            assert_eq!(succeed(&gantry, &pod), expected, "{layout:?}");
            assert_eq!(status(&pod, "one"), 0);
        }
        assert_eq!(listing(&gantry.dir().join(layout::STORE)), before, "a tree in the store has changed");
        let id = pod.file_name().unwrap().to_string_lossy();
        let left = format!("{:?}", snapshot());
        assert!(!left.contains(&*id), "{left}");
    }
}

#[root_test]
fn apps_of_one_image_have_changes_of_their_own() {
    let script = "echo >> /mark-$AC_APP_NAME; rm -f /etc/group; echo $AC_APP_NAME $(ls -d /mark-*) $(wc -l < /mark-$AC_APP_NAME)";
    for layout in LAYOUTS {
        let gantry = Gantry::new();
        let apps = [("a", script), ("b", script), ("c", script)];
        let pod = of_one_image(&gantry, layout, &apps, &json!({}));
        for start in 1..=2 {
            let found = succeed(&gantry, &pod);
            let mut lines: Vec<&str> = found.lines().collect();
            lines.sort_unstable();
            let expected = ["a", "b", "c"].map(|app| format!("{app} /mark-{app} {start}"));
            assert_eq!(lines, expected, "{layout:?}");
        }
        assert_eq!(pod.join("stage1/rkt/upper").exists(), layout == Layout::Overlay);
    }
}

#[root_test]
fn no_character_of_a_path_matters() {
    let gantry = Gantry::new();
    let pod = one(&gantry, Layout::Overlay, &Rootfs::busybox().unwrap(), "echo >> /starts; wc -l < /starts");
    let named = gantry.beside("a:b,c\\d e=\"f\"\n\\040é");
    fs::rename(gantry.dir(), &named).unwrap();
    let pod = named.join(layout::CONTAINERS).join(pod.file_name().unwrap());
    assert_eq!(succeed(&gantry, &pod), "1\n");
    assert_eq!(succeed(&gantry, &pod), "2\n");
    assert_eq!(status(&pod, "one"), 0);
}

#[root_test]
fn files_and_directories_of_the_image_can_be_replaced_renamed_and_removed() {
    let file = |text: &str| Node::File(0o640, text.as_bytes().to_vec());
    let rootfs = Rootfs::busybox()
        .unwrap()
        .with("d/removed", file("x"))
        .with("d/replaced", file("old\n"))
        .owned("d/renamed", file("kept\n"), 7)
        .with("d/sub/deep/file", file("deep\n"))
        .with("gone/a/b", file("x"));
    // This uses rename(2) itself: mv would copy if that fails.
    let first = "cd /d && busybox rm removed && echo new > new && busybox mv new replaced && \
         busybox mv renamed other && chmod 600 other && busybox mv sub moved && echo more >> moved/deep/file && \
         busybox rm -r /gone && mkdir /gone && echo > /done";
    let look =
        "cd /d && echo $(ls) $(cat replaced other moved/deep/file) $(stat -c '%a %u' other) $(ls -A /gone)";
    let script = format!("[ -e /done ] || {{ {first}; }} || exit; {look}");
    let expected = "moved other replaced new kept deep more 600 7\n";
    for layout in LAYOUTS {
        let gantry = Gantry::new();
        let pod = one(&gantry, layout, &rootfs, &script);
        for _ in 0..2 {
            assert_eq!(succeed(&gantry, &pod), expected, "{layout:?}");
        }
        if layout == Layout::Overlay {
            let moved = pod.join("stage1/rkt/upper/one/changes/d/moved");
            let is_renamed = getxattr(&moved, "trusted.overlay.redirect", &mut [0; 256]);
            assert_eq!(is_renamed, Ok("sub".len()), "a directory was copied");
        }
    }
}

#[root_test]
fn a_roots_own_metadata_is_the_images_until_the_app_changes_it() {
    let gantry = Gantry::new();
    let script = "stat -c '%a %u %g' /; chmod 1770 /; chown 5:6 /";
    let pod = one(&gantry, Layout::Overlay, &Rootfs::busybox().unwrap(), script);
    let Layers::Overlay { images, .. } = layers(&pod) else { panic!("it is in the store") };
    let root = tree(&gantry.dir(), images.values().next().unwrap()).join("tree/rootfs");
    std::os::unix::fs::chown(&root, Some(33), Some(44)).unwrap();
    setxattr(&root, "user.of-the-image", b"value", XattrFlags::empty()).unwrap();
    // user:33 may read, in an ACL's binary form (linux/posix_acl_xattr.h): version, then tag, permissions, id.
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in [
        (0x01_u16, 7_u16, u32::MAX),
        (0x02, 4, 33),
        (0x04, 5, u32::MAX),
        (0x10, 5, u32::MAX),
        (0x20, 1, u32::MAX),
    ] {
        acl.extend(tag.to_le_bytes().into_iter().chain(permissions.to_le_bytes()).chain(id.to_le_bytes()));
    }
    let has_acls = setxattr(&root, "system.posix_acl_access", &acl, XattrFlags::empty()).is_ok();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o2751)).unwrap();

    assert_eq!(succeed(&gantry, &pod), "2751 33 44\n");
    let changes = pod.join("stage1/rkt/upper/one/changes");
    let mut value = [0; 64];
    assert_eq!(getxattr(&changes, "user.of-the-image", &mut value), Ok(5));
    assert_eq!(&value[..5], b"value");
    assert_eq!(getxattr(&changes, "system.posix_acl_access", &mut value).is_ok(), has_acls);
    assert_eq!(succeed(&gantry, &pod), "1770 5 6\n");
    assert_eq!(fs::metadata(root).unwrap().mode() & 0o7777, 0o2751);
}

#[root_test]
fn a_read_only_root_is_one() {
    for layout in LAYOUTS {
        let gantry = Gantry::new();
        let script = "echo > /file; rm /etc/group; echo > /tmp/file && ls /tmp";
        let pod =
            of_one_image(&gantry, layout, &[("a", script), ("b", "true")], &json!({"readOnlyRootFS": true}));
        let (code, output) = gantry.start(&pod).wait();
        assert_eq!(
            (code, text(&output.stdout).as_str()),
            (0, "file\n"),
            "{layout:?}: {}",
            text(&output.stderr)
        );
        assert_eq!(
            text(&output.stderr).matches("Read-only file system").count(),
            2,
            "{}",
            text(&output.stderr)
        );
    }
}
