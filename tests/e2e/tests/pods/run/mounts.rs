// SPDX-License-Identifier: Apache-2.0
//! An app's mounts are those of the plan, which a dry run lists.

use std::collections::BTreeSet;
use std::fs;

use gate::root_test;
use serde_json::json;
use testing::image::manifest;
use testing::pods::{Gantry, image_id, text};
use testing::rootfs::Rootfs;

/// Returns the mounts that the plan lists for its only app, from the app's root on, as the app sees them. Mounts that
/// only some kernels have are left out.
fn listed(plan: &str) -> BTreeSet<String> {
    let (_, section) = plan.split_once("== mounts ==\n").unwrap();
    let (section, _) = section.split_once("== sockets ==").unwrap();
    let is_there = |line: &&str| {
        !line.contains("where the kernel has it")
            && !line.contains("where the tree has a directory of its own")
    };
    let lines = section.lines().filter(is_there);
    lines.filter_map(|line| Some(line.strip_prefix("  \"")?.split('"').next()?.to_owned())).collect()
}

#[root_test]
fn a_dry_run_lists_what_an_app_finds_mounted() {
    let gantry = Gantry::new();
    let image = manifest("mounts", &["/bin/sh", "-c", "cat /proc/self/mountinfo"]);
    let image = gantry.image("mounts", &Rootfs::busybox().unwrap(), &image);
    let own = json!({"name": "v", "kind": "empty"});
    let app = json!({"name": "a", "image": {"id": image_id(&image)}, "readOnlyRootFS": true,
        "mounts": [{"volume": "v", "path": "/tmp/v", "appVolume": own}]});
    let pod = gantry.beside("pod.json");
    fs::write(&pod, json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": [app]}).to_string())
        .unwrap();
    let pod = gantry.prepare(&[&image], &["--pod-manifest", pod.to_str().unwrap()]);
    let output =
        std::process::Command::new("./stage1/init").arg("--dry-run").current_dir(&pod).output().unwrap();
    let plan = text(&output.stdout);
    let (code, output) = gantry.start(&pod).wait();
    assert_eq!(code, 0, "{}", text(&output.stderr));

    let table = text(&output.stdout);
    let mounted: BTreeSet<_> = table.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    let is_kernels = |place: &str| ["/proc/", "/sys/"].iter().any(|kernels| place.starts_with(kernels));
    let found: BTreeSet<String> = mounted
        .iter()
        .filter(|place| **place != "/" && !is_kernels(place))
        .map(|place| (*place).to_owned())
        .collect();
    assert_eq!(listed(&plan), found, "{plan}");
    // The kernel decides which of them there are; some exist in every kernel.
    for what in ["nothing, where the kernel has it", "itself, where the kernel has it, read-only"] {
        let is_listed = |place: &&str| plan.contains(&format!("  \"{place}\": {what}\n"));
        assert!(mounted.iter().any(is_listed), "{what}: {table}");
    }
}
