// SPDX-License-Identifier: Apache-2.0
//! Volumes from one start to the next: one of the pod's own is made once and as a whole; one of the host's may have changed.

use std::fs;

use serde_json::json;
use tests::host::can_run;
use tests::image::manifest;
use tests::pods::Gantry;
use tests::rootfs::{Node, Rootfs};

use super::text;

#[test]
fn a_source_that_is_of_another_kind_by_now_is_named() {
    if !can_run("a_source_that_is_of_another_kind_by_now_is_named") {
        return;
    }
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
        refused(format!("source \"{}\": ENOENT: No such file or directory", source.display()));
        make(is).unwrap();
        refused(format!("the volume is {is}, and {was} is there: expected the same of both"));
        remove(is).unwrap();
    }
}
