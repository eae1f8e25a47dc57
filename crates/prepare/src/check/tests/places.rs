// SPDX-License-Identifier: Apache-2.0
//! Working directories of apps, and mounts over an image.

use std::os::unix::fs::symlink;

use serde_json::json;

use super::{Case, elf, empty, host};

#[test]
fn directories_that_the_executor_makes() {
    for directory in
        ["/", "/data", "/dev", "/dev/shm", "/dev/pts", "/proc", "/proc/self", "/proc/self/fd", "/sys/kernel"]
    {
        Case::new().starts_in(directory).good();
    }
    for directory in ["/etc", "/tmp"] {
        Case::new().starts_in(directory).good();
    }
    let inner = || Case::new().mount("/srv/app/data", empty());
    for directory in ["/srv", "/srv/app", "/srv/app/data"] {
        inner().starts_in(directory).good();
    }
    inner().starts_in("/srv/other").bad(&["working directory \"/srv/other\" is not in the image"]);
    inner().directory("srv", 0o700).starts_in("/srv/app").bad(&["\"/srv\" has mode 0700"]);
    let read_only = || Case::new().entry("readOnlyRootFS", json!(true));
    read_only().mount("/tmp/a/b", empty()).starts_in("/tmp/a").good();
    Case::new().starts_in("/none").bad(&["working directory \"/none\" is not in the image"]);
    Case::new().starts_in("/data/file").bad(&["\"/data/file\" is a file: expected a directory"]);
    Case::new().starts_in("/data/file/x").bad(&["\"/data/file\" is no directory"]);
    Case::new().link("round", "round").starts_in("/round").bad(&["one link too many"]);
}

#[test]
fn what_the_pod_covers() {
    let covered = |path: &str| Case::new().file(path, 0o755, &elf(None));
    covered("dev/tool/run")
        .runs("/dev/tool/run")
        .bad(&["\"/dev/tool\" is not there: \"/dev\" is the pod's own"]);
    covered("dev/tool/run").starts_in("/dev/tool").bad(&["\"/dev/tool\" is not there"]);
    covered("proc/tool/run").runs("/proc/tool/run").bad(&["the kernel's, which has no such file"]);
    covered("proc/tool/run").starts_in("/proc/tool").bad(&["the kernel's: expected a directory"]);
    covered("sys/tool/run").link("l", "/sys/tool").runs("/l/run").bad(&["\"/sys/tool/run\" is the kernel's"]);
    Case::new().runs("/proc/version").bad(&["nothing can be executed"]);
    Case::new().runs("/proc/self/root/bin/run").bad(&["is the kernel's"]);
    covered("tmp/run").runs("/tmp/run").good();
    let read_only = |case: Case| case.entry("readOnlyRootFS", json!(true));
    read_only(covered("tmp/run")).runs("/tmp/run").bad(&["\"/tmp/run\" is not there", "in memory"]);
    read_only(covered("tmp/x/run")).starts_in("/tmp/x").bad(&["\"/tmp/x\" is not there"]);
    read_only(covered("var/tmp/run").link("tmp", "var/tmp")).runs("/var/tmp/run").bad(&["is not there"]);
    read_only(Case::new().directory("tmp", 0o700)).starts_in("/tmp").good();
    Case::new().directory("tmp", 0o700).starts_in("/tmp").bad(&["mode 0700"]);
}

#[test]
fn what_volumes_hold() {
    let outside = tempfile::tempdir().unwrap();
    let outside = outside.path().canonicalize().unwrap();
    // A volume of the host can contain anything, wherever a link leads into it.
    let real = || Case::new().file("real/run", 0o644, b"").link("link", "/real");
    for (target, seen) in [("/real", "/real"), ("/link", "/real"), ("/link", "/link"), ("/real", "/link")] {
        let case = || real().mount(target, host(&outside));
        case().runs(&format!("{seen}/run")).starts_in(&format!("{seen}/x")).good();
        real().mount(target, empty()).starts_in(seen).good();
        real()
            .mount(target, empty())
            .starts_in(&format!("{seen}/x"))
            .bad(&["\"/real/x\" is not there", "kind empty"]);
        real()
            .mount(target, empty())
            .runs(&format!("{seen}/run"))
            .bad(&["program", "\"/real/run\" is not there"]);
    }
    Case::new().mount("/v", host(&outside)).runs("/v/../bin/run").good();
    // A file has to be added to one of the pod's own places first.
    let handler = |event: &str, program: &str| json!([{"name": event, "exec": [program]}]);
    let own = || Case::new().mount("/v", empty());
    own().runs("/v/run").app("eventHandlers", handler("pre-start", "/bin/run")).good();
    own().app("eventHandlers", handler("post-stop", "/v/run")).good();
    own()
        .app("eventHandlers", handler("pre-start", "/v/run"))
        .bad(&["pre-start handler", "\"/v/run\" is not there"]);
    let again = json!([{"name": "gantry/restart", "value": "on-failure"}]);
    own().runs("/v/run").entry("annotations", again).good();
    let closed = json!({"kind": "empty", "mode": "0750", "uid": 7, "gid": 8});
    let closed = || Case::new().mount("/v", closed.clone()).starts_in("/v");
    closed().bad(&["\"/v\" has mode 0750 and owner 7:8"]);
    closed().app("supplementaryGIDs", json!([8])).good();
    closed().app("user", json!("7")).good();
}

#[test]
fn volumes_that_links_lead_to() {
    let outside = tempfile::tempdir().unwrap();
    let outside = outside.path().canonicalize().unwrap();
    std::fs::create_dir_all(outside.join("real/data")).unwrap();
    symlink("real", outside.join("link")).unwrap();
    symlink("real/data", outside.join("last")).unwrap();
    let case = |source: &str| Case::new().mount("/v", host(&outside.join(source)));
    case("real/data").good();
    for (source, link) in [("link/data", "link"), ("last", "last")] {
        let is_link = format!("{link}\" is a link: expected a path without links");
        case(source).bad(&["mount at \"/v\"", source, &is_link]);
    }
    case("none").bad(&["mount at \"/v\": source", "none"]);
}
