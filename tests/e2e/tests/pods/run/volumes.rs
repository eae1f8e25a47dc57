// SPDX-License-Identifier: Apache-2.0
//! Volumes from one start to the next: an empty volume is made once and as a whole; a host volume may have changed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use gate::root_test;
use nix::errno::Errno;
use serde_json::json;
use syscall_faults::trace::{self, Fault};
use testing::image::manifest;
use testing::pods::{Gantry, text};
use testing::rootfs::{Node, Rootfs};

/// The next start takes an empty volume as it is, since its apps may have changed it.
#[root_test]
fn an_empty_volume_has_its_owner_and_mode_or_is_not_there() {
    let gantry = Gantry::new();
    let mut image = manifest("own", &["/bin/sh", "-c", "stat -c '%u %g %a' /v"]);
    image["app"]["mountPoints"] = json!([{"name": "v", "path": "/v"}]);
    let image = gantry.image("own", &Rootfs::busybox().unwrap(), &image);
    for call in ["fchown", "fchmod", "renameat"] {
        let pod = gantry.prepare(&[&image], &["--volume", "v,kind=empty,mode=1770,uid=7,gid=8"]);
        let mut init = Command::new("./stage1/init");
        init.current_dir(&pod);
        let run = trace::run(&init, |event| {
            let is_volume =
                event.objects.iter().any(|object| object.to_string_lossy().contains("/rkt/volumes/"));
            (event.call == call && is_volume).then_some(Fault::Error(Errno::EIO))
        });
        let run = run.unwrap();
        assert!(run.fault.is_some(), "{call} is made");
        let error =
            "error: root of app own: volume at \"/v\": volume v of kind empty: I/O error (os error 5)\n";
        assert_eq!((run.code, text(run.stderr.as_bytes()).as_str()), (Some(3), error), "{call}");
        let (code, output) = gantry.start(&pod).wait();
        assert_eq!(
            (code, text(&output.stdout).as_str()),
            (0, "7 8 1770\n"),
            "{call}: {}",
            text(&output.stderr)
        );
        let volumes = pod.join("stage1/rkt/volumes");
        let names: Vec<_> = fs::read_dir(&volumes).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["v"], "{call}");
        let volume = fs::metadata(volumes.join("v")).unwrap();
        assert_eq!((volume.uid(), volume.gid(), volume.mode() & 0o7777), (7, 8, 0o1770), "{call}");
    }
}

#[root_test]
fn a_source_that_is_of_another_kind_by_now_is_named() {
    let gantry = Gantry::new();
    let source = gantry.beside("source");
    for (path, was, is) in [("/data", "a directory", "a file"), ("/conf", "a file", "a directory")] {
        let make = |kind| if kind == "a file" { fs::write(&source, "") } else { fs::create_dir(&source) };
        let remove = |kind| if kind == "a file" { fs::remove_file(&source) } else { fs::remove_dir(&source) };
        let mut image = manifest("kinds", &["/bin/true"]);
        image["app"]["mountPoints"] = json!([{"name": "v", "path": path}]);
        let rootfs = Rootfs::busybox()
            .unwrap()
            .with("data", Node::Directory(0o755))
            .with("conf", Node::File(0o644, Vec::new()));
        let image = gantry.image("kinds", &rootfs, &image);
        make(was).unwrap();
        let volume = format!("v,kind=host,source={}", source.display());
        let pod = gantry.prepare(&[&image], &["--volume", &volume]);
        assert_eq!(gantry.start(&pod).wait().0, 0);
        let refused = |error: String| {
            let (code, output) = gantry.start(&pod).wait();
            let error = format!("error: root of app kinds: volume at \"{path}\": {error}\n");
            assert_eq!((code, text(&output.stderr)), (3, error));
        };
        remove(was).unwrap();
        let missing = "No such file or directory (os error 2)";
        refused(format!("source \"{0}\": openat2 \"{0}\": {missing}", source.display()));
        make(is).unwrap();
        refused(format!("the volume is {is}, and {was} is there: expected the same of both"));
        remove(is).unwrap();
    }
}
