// SPDX-License-Identifier: Apache-2.0
//! Programs that the kernel executes and those it does not, and the users that may execute them.

use rustix::fs::{XattrFlags, setxattr};
use serde_json::json;

use super::super::acl;
use super::{Case, elf, root, without_overriding};

#[test]
fn programs_of_every_form() {
    for program in ["/bin/run", "/bin/dynamic", "/bin/script", "/bin/./../bin//run", "run"] {
        Case::new().runs(program).app("workingDirectory", json!("/data")).good();
    }
    Case::new().file("bin/up", 0o755, b"#!../bin/run").runs("/bin/up").starts_in("/data").good();
    Case::new().link("usr/sh", "../bin/run").link("l", "/usr").runs("/l/sh").good();
}

#[test]
fn programs_that_the_kernel_does_not_execute() {
    let with = |content: &[u8]| Case::new().file("bin/x", 0o755, content).runs("/bin/x");
    with(b"").bad(&["program \"/bin/x\" is empty", "#!"]);
    with(b"echo").bad(&["\"/bin/x\" is neither a script nor a program"]);
    with(b"#!\n").bad(&["names no interpreter"]);
    with(b"#!/bin/none\n").bad(&["program \"/bin/x\": its interpreter \"/bin/none\" is not in the image"]);
    with(b"#!/bin/run\r\n").bad(&["interpreter \"/bin/run\\r\" is not in the image"]);
    with(b"#!none\n").bad(&["interpreter \"none\": \"/none\" is not in the image"]);
    with(b"#!/data/file\n").bad(&["interpreter \"/data/file\" has mode 0644", "can execute"]);
    with(b"#!/bin/x\n").bad(&["one script too many"]);
    with(&elf(Some("/lib/none")))
        .bad(&["program \"/bin/x\": its interpreter \"/lib/none\" is not in the image"]);
    with(&elf(Some("/data/file"))).bad(&["interpreter \"/data/file\" has mode 0644"]);
    with(&elf(Some("/bin/script"))).bad(&["interpreter \"/bin/script\" is a script"]);
    with(&elf(None)[..100]).bad(&["\"/bin/x\" is a damaged ELF file"]);
    let change = |at: usize, value: u8| {
        let mut file = elf(None);
        file[at] = value;
        file
    };
    with(&change(18, 21)).bad(&["is a program for PPC64 with 64 bits", std::env::consts::ARCH]);
    with(&change(16, 1)).bad(&["an ELF file that is no program"]);
    Case::new().runs("/bin").bad(&["\"/bin\" is a directory", "can be executed"]);
    Case::new().runs("/bin/run/").bad(&["\"/bin/run/\": \"/bin/run\" is no directory"]);
    Case::new().runs("/none").bad(&["program \"/none\" is not in the image"]);
    let long = format!("/bin/{}run", "./".repeat(2100));
    Case::new().runs(&long).bad(&["longer than the kernel takes"]);
}

#[test]
fn programs_that_are_names() {
    let path = |path: &str| json!([{"name": "PATH", "value": path}]);
    Case::new().runs("none").bad(&["program \"none\" is not in the image", "PATH", "/usr/bin"]);
    // As with execvp(3), a file that doesn't exist, or may not be executed, is skipped, and is reported only if there
    // is no other.
    let shadowed = || Case::new().file("data/run", 0o644, b"no").runs("run");
    shadowed().app("environment", path("/data:/bin")).good();
    shadowed().app("environment", path("/data:/none")).bad(&["\"/data/run\" has mode 0644"]);
    let dangling = || Case::new().file("data/run", 0o755, b"#!/none").runs("run");
    dangling().app("environment", path("/data:/bin")).good();
    dangling().app("environment", path("/data")).bad(&["its interpreter \"/none\""]);
    let broken = Case::new().file("data/run", 0o755, b"").runs("run");
    broken.app("environment", path("/data:/bin")).bad(&["\"/data/run\" is empty"]);
    let handler = json!([{"name": "pre-start", "exec": ["none"]}]);
    Case::new().app("eventHandlers", handler).bad(&["pre-start handler: program \"none\""]);
}

#[test]
fn what_only_others_may_use() {
    let closed = || Case::new().file("srv/x/run", 0o755, &elf(None)).mode("srv", 0o700);
    let whose = &["\"/srv\" has mode 0700", "user 4242 (group 4242) can search"];
    closed().runs("/srv/x/run").bad(whose);
    closed().starts_in("/srv/x").bad(whose);
    closed().starts_in("/srv").bad(&["working directory \"/srv\" has mode 0700"]);
    closed().link("l", "/srv/x").starts_in("/l").bad(&["working directory \"/l\": \"/srv\" has mode 0700"]);
    closed().runs("/srv/../bin/run").bad(whose);
    closed()
        .file("bin/x", 0o755, b"#!/srv/x/run\n")
        .runs("/bin/x")
        .bad(&["its interpreter", "\"/srv\" has mode"]);
    Case::new().mode("", 0o700).bad(&["\"/\" has mode 0700"]);
    Case::new().mode("bin/run", 0o744).bad(&["program \"/bin/run\" has mode 0744", "can execute"]);
    // Root passes only by its capabilities, and executes only a file that has an x bit.
    root(closed()).runs("/srv/x/run").starts_in("/srv/x").good();
    root(Case::new().mode("bin/run", 0o644)).bad(&["\"/bin/run\" has mode 0644", "user 0"]);
}

/// The files of these trees belong to the user that runs the test.
#[gate::root_test]
fn permissions_of_roots_own_files() {
    let closed = || Case::new().file("srv/x/run", 0o755, &elf(None)).mode("srv", 0o700);
    root(Case::new().mode("bin/run", 0o001)).good();
    without_overriding(root(Case::new().mode("bin/run", 0o011))).bad(&["mode 0011 and owner 0:0"]);
    without_overriding(root(closed())).runs("/srv/x/run").good();
    without_overriding(root(closed().mode("srv", 0o077))).starts_in("/srv").bad(&["mode 0077"]);
}

#[test]
fn groups_and_access_control_lists() {
    let group = rustix::process::getegid().as_raw();
    let closed = || Case::new().mode("bin/run", 0o710);
    closed().bad(&["mode 0710"]);
    closed().app("supplementaryGIDs", json!([7, group])).good();
    closed().app("group", json!(group.to_string())).good();
    Case::new().mode("bin/run", 0o701).app("supplementaryGIDs", json!([group])).bad(&["mode 0701"]);
    let none = u32::MAX;
    let list = |case: Case, entries: &[(u16, u16, u32)]| {
        let value = acl::tests::value(entries);
        setxattr(case.path("bin/run"), acl::ATTRIBUTE, &value, XattrFlags::empty()).unwrap();
        case
    };
    let named = [(1, 7, none), (2, 1, 4242), (4, 0, none), (0x10, 1, none), (0x20, 0, none)];
    list(closed(), &named).good();
    let other = [(1, 7, none), (2, 4, 4242), (4, 1, none), (0x10, 7, none), (0x20, 1, none)];
    list(closed(), &other).bad(&["an access control list"]);
}
