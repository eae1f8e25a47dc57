// SPDX-License-Identifier: Apache-2.0
//! What is around an app: its root, devices, volumes, the time zone.

use std::fs;

use gate::root_test;
use serde_json::json;
use testing::image::{manifest, script};
use testing::pods::{Gantry, text};
use testing::rootfs::{Node, Rootfs};
use testing::users;

#[root_test]
fn an_app_has_its_root_user_and_directory() {
    let show =
        "id -u; id -g; id -G; pwd; ls /; ls -d /proc/self /sys/kernel; echo x > /dev/null; hostname; umask";
    let mut image = script("view", show);
    image["app"]["supplementaryGIDs"] = json!([4321, 27]);
    image["app"]["workingDirectory"] = json!("/work %n \\");
    let rootfs = Rootfs::busybox().unwrap().with("work %n \\", Node::Directory(0o755));
    let gantry = Gantry::new();
    let image = gantry.image("view", &rootfs, &image);
    let output = gantry.run(&[&image]);
    let id = gantry.pod().file_name().unwrap().to_string_lossy()[..8].to_owned();
    let expected = format!(
        "1000\n1000\n1000 27 4321\n/work %n \\\nbin\ndev\netc\nlib\nlib64\nproc\nrun\nsbin\nsys\ntmp\nusr\nwork %n \\\n\
         /proc/self\n/sys/kernel\ngantry-{id}\n0022\n"
    );
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
}

/// CAP_MKNOD is in appc's default set, and counts for nothing but a pod whose users are the host's (`users`).
#[root_test]
fn devices_work_in_dev_alone_and_nothing_is_made_there() {
    if !users::are_own("devices_work_in_dev_alone_and_nothing_is_made_there") {
        return;
    }
    let gantry = Gantry::new();
    let volume = gantry.beside("volume");
    fs::create_dir(&volume).unwrap();
    let try_all = "for dir in / /tmp /volume /dev /dev/shm; do mknod $dir/made c 1 3 && echo x > $dir/made && echo $dir; done; \
                   echo x > /dev/null && echo null";
    let mut image = manifest("devices", &["/bin/sh", "-c", try_all]);
    image["app"]["mountPoints"] = json!([{"name": "volume", "path": "/volume"}]);
    let image = gantry.image("devices", &Rootfs::busybox().unwrap(), &image);
    let argument = format!("volume,kind=host,source={}", volume.display());
    let output = gantry.with_images("run", &[&image], &["--volume", &argument]).output().unwrap();
    gantry.wait_all();
    assert_eq!(text(&output.stdout), "null\n");
    let errors = text(&output.stderr);
    assert_eq!(errors.matches("Operation not permitted").count(), 4, "{errors}");
    assert_eq!(errors.matches("Read-only file system").count(), 1, "{errors}");
}

#[root_test]
fn volumes_are_mounted_in_the_apps_root() {
    let gantry = Gantry::new();
    let (data, config) = (gantry.beside("da:ta \\ x"), gantry.beside("config"));
    fs::create_dir(&data).unwrap();
    fs::write(&config, "configured\n").unwrap();
    let mut image = manifest(
        "volumes",
        &[
            "/bin/sh",
            "-c",
            "cat /etc/app.conf; echo new > /mnt/data/file && ls /target/data; echo no > /etc/app.conf",
        ],
    );
    image["app"]["mountPoints"] = json!([
        {"name": "data", "path": "/mnt/data"},
        {"name": "config", "path": "/etc/app.conf", "readOnly": true},
    ]);
    // In the app's root, /mnt is a link to its /target; on the host that would be another directory.
    let rootfs = Rootfs::busybox()
        .unwrap()
        .with("mnt", Node::Link("/target".into()))
        .with("target", Node::Directory(0o755));
    let image = gantry.image("volumes", &rootfs, &image);
    let volume =
        |name: &str, source: &std::path::Path| format!("{name},kind=host,source={}", source.display());
    let arguments = ["--volume", &volume("data", &data), "--volume", &volume("config", &config)];
    let output = gantry.with_images("run", &[&image], &arguments).output().unwrap();
    gantry.wait_all();
    assert_eq!(text(&output.stdout), "configured\nfile\n", "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("Read-only file system"), "{}", text(&output.stderr));
    assert_eq!(fs::read_to_string(data.join("file")).unwrap(), "new\n");
    assert_eq!(fs::read_to_string(config).unwrap(), "configured\n");
    assert!(!std::path::Path::new("/target").exists(), "nothing is made on the host");
}

#[root_test]
fn the_hosts_time_zone_is_the_pods() {
    let gantry = Gantry::new();
    let image = gantry.image("zone", &Rootfs::busybox().unwrap(), &script("zone", "exit 0"));
    assert_eq!(gantry.run(&[&image]).status.code(), Some(0));
    let stage1 = gantry.pod().join("stage1");
    match fs::read_link("/etc/localtime") {
        Ok(target) if target.starts_with("/usr/share/zoneinfo") => {
            assert_eq!(fs::read_link(stage1.join("etc/localtime")).unwrap(), target);
            let zone = stage1.join(target.strip_prefix("/").unwrap());
            assert_eq!(fs::read(zone).ok(), fs::read(&target).ok());
        }
        _ => assert_eq!(fs::read(stage1.join("etc/localtime")).ok(), fs::read("/etc/localtime").ok()),
    }
}
