// SPDX-License-Identifier: Apache-2.0
//! Images that people have.

use std::path::Path;

use gate::root_test;
use serde_json::{Value, json};
use testing::image::manifest;
use testing::pods::{Gantry, assert_says, text};
use testing::rootfs::{Node, Rootfs};

use super::{roots, run, run_images, run_tree, wrote};

fn file(content: &str) -> Node {
    Node::File(0o644, content.into())
}

fn of_0_1(mut manifest: Value) -> Value {
    manifest["acVersion"] = json!("0.1.1");
    manifest["labels"] = json!([]);
    if let Value::Array(variables) = manifest["app"]["environment"].take() {
        let pairs =
            variables.into_iter().map(|one| (one["name"].as_str().unwrap().to_owned(), one["value"].clone()));
        manifest["app"]["environment"] = pairs.collect::<serde_json::Map<_, _>>().into();
    }
    manifest
}

/// An image of a single program has no /etc/passwd.
#[root_test]
fn root_is_root_in_an_image_without_accounts() {
    for (passwd, group) in [(None, None), (Some("other:x:5:5::/:/bin/sh\n"), Some("other:x:5:\n"))] {
        let gantry = Gantry::new();
        let mut tree = Rootfs::busybox().unwrap().without("etc/passwd").without("etc/group");
        if let (Some(passwd), Some(group)) = (passwd, group) {
            tree = tree.with("etc/passwd", file(passwd)).with("etc/group", file(group));
        }
        let mut image = of_0_1(roots("id -u; id -g; echo $USER $HOME $SHELL"));
        (image["app"]["user"], image["app"]["group"]) = (json!("root"), json!("root"));
        wrote(&run_tree(&gantry, &tree, &image, &[]), "0\n0\nroot /root /bin/sh\n");
        image["app"]["user"] = json!("nobody");
        let refused = run_tree(&gantry, &tree, &image, &[]);
        assert_eq!(refused.status.code(), Some(254));
        assert_says(&text(&refused.stderr), &["nobody", "/etc/passwd"]);
    }
}

/// A name first, then a number (aci.md, `user`).
#[root_test]
fn a_user_is_looked_up_by_name_before_it_is_a_number() {
    let gantry = Gantry::new();
    let tree = Rootfs::busybox()
        .unwrap()
        .with("etc/passwd", file("1000:x:55:56::/:/bin/sh\nroot:x:0:0::/root:/bin/sh\n"))
        .with("etc/group", file("2000:x:66:\n007:x:7:\n"));
    let mut image = roots("id -u; id -g");
    for (user, group, expected) in [
        ("1000", "2000", "55\n66\n"),
        ("1001", "2001", "1001\n2001\n"),
        ("55", "007", "55\n7\n"),
        ("0055", "66", "55\n66\n"),
    ] {
        (image["app"]["user"], image["app"]["group"]) = (json!(user), json!(group));
        wrote(&run_tree(&gantry, &tree, &image, &[]), expected);
    }
    let of_user = run_tree(&gantry, &tree, &image, &["--user", "1000:2000"]);
    wrote(&of_user, "55\n66\n");
}

/// As execve(2) has it.
#[root_test]
fn a_program_with_a_slash_is_found_from_the_working_directory() {
    let script = |text: &str| Node::File(0o755, format!("#!/bin/sh\n{text}\n").into());
    let tree = Rootfs::busybox()
        .unwrap()
        .with("srv/run.sh", script("echo $0 in $PWD"))
        .with("srv/bin/x", script("echo x"))
        .with("bin-of-root/x", script("echo root"));
    for (exec, directory, expected) in [
        ("./run.sh", Some("/srv"), "./run.sh in /srv\n"),
        ("bin/x", Some("/srv"), "x\n"),
        ("../srv/bin/x", Some("/srv"), "x\n"),
        ("bin-of-root/x", None, "root\n"),
    ] {
        let gantry = Gantry::new();
        let mut image = manifest("field", &[exec]);
        if let Some(directory) = directory {
            image["app"]["workingDirectory"] = json!(directory);
        }
        let handler = json!({"name": "pre-start", "exec": [exec]});
        image["app"]["eventHandlers"] = json!([handler]);
        wrote(&run_tree(&gantry, &tree, &image, &[]), &expected.repeat(2));
        image["app"]["eventHandlers"] = json!([]);
        wrote(&run_tree(&gantry, &tree, &image, &["--exec", exec]), expected);
    }
    let gantry = Gantry::new();
    let mut missing = manifest("field", &["./none"]);
    missing["app"]["workingDirectory"] = json!("/srv");
    let refused = run_tree(&gantry, &tree, &missing, &[]);
    assert_eq!(refused.status.code(), Some(254));
    assert_says(&text(&refused.stderr), &["./none", "/srv/none"]);
}

/// What docker export and distributions' tarballs have.
#[root_test]
fn empty_files_about_names_are_as_good_as_none() {
    let look = "grep -c localhost /etc/hosts; grep -c \"$(hostname)\" /etc/hosts; test -s /etc/resolv.conf && echo dns";
    for tree in [
        Rootfs::busybox().unwrap().with("etc/hosts", file("")).with("etc/resolv.conf", file("")),
        Rootfs::busybox()
            .unwrap()
            .with("etc/hosts", file("# nothing\n\n"))
            .with("etc/resolv.conf", Node::Link("../run/systemd/resolve/stub-resolv.conf".into())),
        Rootfs::busybox().unwrap().with("etc/hosts", file("127.0.0.1 localhost\n9.9.9.9 own\n")),
    ] {
        let gantry = Gantry::new();
        let output = run_tree(&gantry, &tree, &roots(look), &["--dns", "192.0.2.53"]);
        let lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
        assert!(output.status.success(), "{lines:?} {}", text(&output.stderr));
        assert!(lines[0] != "0" && lines[1] != "0" && lines.last().unwrap() == "dns", "{lines:?}");
    }
    let gantry = Gantry::new();
    let tree = Rootfs::busybox().unwrap().with("etc/hosts", file("9.9.9.9 own\n"));
    wrote(&run_tree(&gantry, &tree, &roots("grep -c 9.9.9.9 /etc/hosts"), &["--hosts", "own"]), "1\n");
}

/// Every converted image with VOLUME has one.
#[root_test]
fn a_mount_point_without_a_volume_gets_an_empty_one_with_a_warning() {
    for version in ["0.8.11", "0.1.1"] {
        let gantry = Gantry::new();
        let tree = Rootfs::busybox().unwrap().with("data/of-image", file("x"));
        let mut image = roots("ls /data /new; echo > /data/own; echo > /new/own; stat -c %a /data");
        if version == "0.1.1" {
            image = of_0_1(image);
        }
        image["app"]["mountPoints"] =
            json!([{"name": "data", "path": "/data"}, {"name": "new", "path": "/new"}]);
        let output = run_tree(&gantry, &tree, &image, &[]);
        wrote(&output, "/data:\n\n/new:\n755\n");
        let said = text(&output.stderr);
        assert_says(&said, &["warning", "mount point data", "empty volume", "kind=image"]);
        assert_says(&said, &["mount point new", "hidden"]);
    }
    // With a volume, nothing is said.
    let gantry = Gantry::new();
    let mut image = roots("ls /new");
    image["app"]["mountPoints"] = json!([{"name": "new", "path": "/new"}]);
    let output = run(&gantry, &image, &["--volume", "new,kind=empty"]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

/// Two apps of one image have a volume each.
#[root_test]
fn implicit_volumes_are_the_apps_own() {
    let gantry = Gantry::new();
    let mut one = manifest("one", &["/bin/sh", "-c", "echo > /data/one; ls /data"]);
    let mut two = manifest("two", &["/bin/sh", "-c", "echo > /data/two; ls /data"]);
    for image in [&mut one, &mut two] {
        image["app"]["mountPoints"] = json!([{"name": "data", "path": "/data"}]);
    }
    let busybox = Rootfs::busybox().unwrap();
    let (one, two) = (gantry.image("one", &busybox, &one), gantry.image("two", &busybox, &two));
    let output = run_images(&gantry, &[&one, &two], &[]);
    let mut lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["one", "two"], "{}", text(&output.stderr));
}

/// A volume that begins with what the image has, from a pod manifest, too.
#[root_test]
fn a_volume_of_kind_image_begins_with_the_images_directory() {
    let gantry = Gantry::new();
    let tree = Rootfs::busybox().unwrap().owned("data", Node::Directory(0o750), 7).owned(
        "data/of-image",
        file("x"),
        8,
    );
    let mut image = roots("stat -c '%a %u' /data; stat -c %u /data/of-image");
    image["app"]["mountPoints"] = json!([{"name": "data", "path": "/data"}]);
    let output = run_tree(&gantry, &tree, &image, &["--volume", "data,kind=image"]);
    wrote(&output, "750 7\n8\n");
    assert_eq!(text(&output.stderr), "");
    let path = gantry.image("field", &tree, &image);
    let id = testing::pods::image_id(&path);
    for (image_volumes, kind) in [(true, "PodManifest"), (false, "appVolume")] {
        let volume = json!({"name": "data", "kind": "image"});
        let mut pod = json!({"acKind": "PodManifest", "acVersion": "0.8.11",
                             "apps": [{"name": "a", "image": {"id": id}}]});
        match image_volumes {
            true => pod["volumes"] = json!([volume]),
            false => {
                pod["apps"][0]["mounts"] = json!([{"volume": "data", "path": "/data", "appVolume": volume}]);
            }
        }
        let at = gantry.beside("pod.json");
        std::fs::write(&at, pod.to_string()).unwrap();
        let output = run_images(&gantry, &[&path], &["--pod-manifest", at.to_str().unwrap()]);
        wrote(&output, "750 7\n8\n");
        assert_eq!(text(&output.stderr), "", "{kind}");
    }
}

/// What the app no longer sees.
#[root_test]
fn a_volume_over_files_of_the_image_is_a_warning_that_counts_them() {
    let gantry = Gantry::new();
    let tree = Rootfs::busybox().unwrap().with("data/one", file("x")).with("data/two/three", file("x"));
    let mut image = roots("ls /data");
    image["app"]["mountPoints"] = json!([{"name": "data", "path": "/data"}]);
    let host = gantry.beside("host");
    std::fs::create_dir(&host).unwrap();
    for volume in ["data,kind=empty".to_owned(), format!("data,kind=host,source={}", host.display())] {
        let output = run_tree(&gantry, &tree, &image, &["--volume", &volume]);
        wrote(&output, "");
        assert_says(&text(&output.stderr), &["warning", "/data", "hides 2 entries"]);
    }
    // A file of the host's over one of the image's: the image's is hidden.
    let mut image = roots("cat /data/one");
    image["app"]["mountPoints"] = json!([{"name": "data", "path": "/data/one"}]);
    let of_host = gantry.beside("of-host");
    std::fs::write(&of_host, "host\n").unwrap();
    let volume = format!("data,kind=host,source={}", of_host.display());
    let output = run_tree(&gantry, &tree, &image, &["--volume", &volume]);
    wrote(&output, "host\n");
    assert_says(&text(&output.stderr), &["warning", "/data/one", "hides a file"]);
}

/// A volume over a file of another kind than it can be: there is no such mount.
#[root_test]
fn a_directory_over_a_file_is_refused_with_the_way_out() {
    let gantry = Gantry::new();
    let tree = Rootfs::busybox().unwrap().with("data", file("x"));
    let mut image = roots("ls /data");
    image["app"]["mountPoints"] = json!([{"name": "data", "path": "/data"}]);
    let output = run_tree(&gantry, &tree, &image, &["--volume", "data,kind=empty"]);
    assert_eq!(output.status.code(), Some(254));
    assert_says(&text(&output.stderr), &["/data", "a directory", "a file", "expected"]);
}

/// Each of them is an app of its own.
#[root_test]
fn two_apps_of_one_image_run_beside_each_other() {
    let gantry = Gantry::new();
    let image = gantry.image(
        "field",
        &Rootfs::busybox().unwrap(),
        &roots("echo $AC_APP_NAME > /own; cat /own; ls / | grep -c own"),
    );
    let output = run_images(&gantry, &[&image, &image], &[]);
    let mut lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["1", "1", "field", "field-2"], "{}", text(&output.stderr));
}

/// Nothing of 0.1's in the environment of an app of 0.8.
#[root_test]
fn an_image_of_0_8_has_the_environment_of_0_8() {
    let gantry = Gantry::new();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    for more in [&[][..], &["--hostname", "given"]] {
        let image = roots("env | grep -v -e ^SHLVL -e ^PWD -e ^_= -e ^AC_METADATA_URL | sort");
        let output = run(&gantry, &image, more);
        wrote(&output, &format!("AC_APP_NAME=field\n{path}\ncontainer=gantry\n"));
    }
    let output =
        run(&gantry, &of_0_1(roots("env | grep -c -e ^USER= -e ^HOME= -e ^SHELL= -e ^LOGNAME=")), &[]);
    wrote(&output, "4\n");
}

/// Words on the command line are the program of an image without one.
#[root_test]
fn an_image_without_a_program_runs_the_one_that_is_given() {
    let gantry = Gantry::new();
    let mut image = roots("");
    image["app"]["exec"] = Value::Null;
    let image = gantry.image("field", &Rootfs::busybox().unwrap(), &image);
    let output = run_images(&gantry, &[Path::new(&image)], &["--exec", "/bin/echo", "--", "runs"]);
    wrote(&output, "runs\n");
}
