// SPDX-License-Identifier: Apache-2.0
//! A start is killed while it makes a volume of kind empty: its owner and mode are those of the manifest all the same, or the
//! app that it is for could not use it and others could.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};

use gate::root_test;
use testing::image::manifest;
use testing::pods::{Gantry, text};
use testing::rootfs::Rootfs;

/// A directory as a killed start leaves it, by its name in stage1's `rkt/volumes`, and what the app then sees.
const LEFT: [(&str, &str); 2] = [
    (".new", "750 7 8\n"),
    // The control: what has the final name is the volume, whatever it looks like.
    ("v", "700 0 0\n"),
];

#[root_test]
fn a_volume_has_its_name_only_with_its_owner_and_mode() {
    for (name, seen) in LEFT {
        let gantry = Gantry::new();
        let mut image = manifest("stat", &["/bin/sh", "-c", "stat -c '%a %u %g' /v"]);
        image["app"]["mountPoints"] = serde_json::json!([{"name": "v", "path": "/v"}]);
        let image = gantry.image("stat", &Rootfs::busybox().unwrap(), &image);
        let pod = gantry.prepare(&[&image], &["--volume", "v,kind=empty,mode=0750,uid=7,gid=8"]);
        let volumes = pod.join("stage1/rkt/volumes");
        fs::create_dir_all(&volumes).unwrap();
        fs::DirBuilder::new().mode(0o700).create(volumes.join(name)).unwrap();
        let (code, output) = gantry.start(&pod).wait();
        assert_eq!((code, text(&output.stdout).as_str()), (0, seen), "{name}: {}", text(&output.stderr));
        let left: Vec<_> = fs::read_dir(&volumes).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["v"], "{name}");
        let owner = fs::metadata(volumes.join("v")).unwrap().uid();
        assert_eq!(owner == 7, name == ".new");
    }
}
