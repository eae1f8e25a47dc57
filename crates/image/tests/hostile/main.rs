// SPDX-License-Identifier: Apache-2.0
//! One test for each trick an archive can play, numbered as in the project's list of hostile input.
//!
//! Each unpacks into a real directory beside a canary, which the fixture compares before and after.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "the harness takes what a test says")]
#![expect(clippy::unwrap_used, reason = "the lint's exception for tests does not see a test's fixtures")]

mod canary;
mod damage;
mod fixture;
mod metadata;
mod stream;
mod writer;

use std::fs;

use fixture::{Ground, MANIFEST};
use writer::Tar;

#[gate::root_test]
fn case_01_file_through_a_symlink() {
    let ground = Ground::new();
    for name in ["canary", "canary.d", "canary.link"] {
        let linked = Tar::image().symlink("rootfs/l", &ground.canary(name));
        ground.refuse(&linked.clone().file("rootfs/l/x", b"evil").end(), "no directory");
        ground.refuse(&linked.clone().file("rootfs/l/sub/file", b"evil").end(), "no directory");
        // The last of two entries wins: in the place of the link, not through it.
        let ground = Ground::new();
        let target = ground.canary(name);
        ground.accept(&Tar::image().symlink("rootfs/l", &target).file("rootfs/l", b"own").end());
        assert!(fs::symlink_metadata(ground.at("l")).unwrap().is_file());
    }
}

#[gate::root_test]
fn case_02_deep_file_through_a_symlink_upwards() {
    let ground = Ground::new();
    ground.refuse(&Tar::image().symlink("rootfs/l", "..").file("rootfs/l/a/b/c", b"").end(), "no directory");
    ground.refuse(
        &Tar::image().symlink("rootfs/l", "../../canary.d").file("rootfs/l/x", b"").end(),
        "no directory",
    );
    // Also where the parent was open already, and where the link stands above it.
    let tar = Tar::image().directory("rootfs/a/", 0o755).file("rootfs/a/b/c", b"").symlink("rootfs/a/b", "/");
    ground.refuse(&tar.end(), "replaces a directory that is not empty");
    // And where the directory that the link replaces was open already.
    let tar = Tar::image().directory("rootfs/a/b/", 0o755).symlink("rootfs/a/b", "../../canary.d");
    ground.refuse(&tar.file("rootfs/a/b/x", b"evil").end(), "no directory");
}

#[gate::root_test]
fn case_03_directory_over_a_symlink() {
    let ground = Ground::new();
    let linked = Tar::image().symlink("rootfs/l", &ground.canary("canary.d"));
    ground.refuse(&linked.directory("rootfs/l/sub", 0o777).end(), "no directory");
    let ground = Ground::new();
    let linked = Tar::image().symlink("rootfs/l", &ground.canary("canary.d"));
    ground.accept(&linked.directory("rootfs/l/", 0o700).file("rootfs/l/x", b"own").end());
    assert!(fs::symlink_metadata(ground.at("l")).unwrap().is_dir());
    assert_eq!(fs::read(ground.at("l/x")).unwrap(), b"own");
}

#[gate::root_test]
fn case_04_hard_link_to_the_outside() {
    let ground = Ground::new();
    ground.refuse(&Tar::image().hard_link("rootfs/h", "../canary").end(), "expected no \"..\"");
    ground.refuse(&Tar::image().hard_link("rootfs/h", "rootfs/../../canary").end(), "expected no \"..\"");
    ground.refuse(
        &Tar::image().hard_link("rootfs/h", &ground.canary("canary")).end(),
        "expected a file in rootfs",
    );
    let through = Tar::image().symlink("rootfs/l", "../..").hard_link("rootfs/h", "rootfs/l/canary");
    ground.refuse(&through.end(), "hard link to");
    // Nor does a link inside of the tree lead to it.
    let inside = Tar::image().file("rootfs/d/file", b"").symlink("rootfs/l", "d");
    ground.refuse(&inside.hard_link("rootfs/h", "rootfs/l/file").end(), "lies below a link");
    let later = Tar::image().hard_link("rootfs/h", "rootfs/l/canary").symlink("rootfs/l", "../..");
    ground.refuse(&later.end(), "lies below a link");
    ground.refuse(&Tar::image().hard_link("rootfs/h", "rootfs/missing").end(), "expected it in the archive");
    ground.refuse(&Tar::image().hard_link("rootfs/h", "rootfs").end(), "expected no directory");
    ground.refuse(&Tar::image().hard_link("rootfs/h", "manifest").end(), "expected a file in rootfs");
}

#[gate::root_test]
fn case_05_file_over_a_hard_link_and_links_to_links() {
    let ground = Ground::new();
    let linked = Tar::image().file("rootfs/a", b"kept").hard_link("rootfs/h", "./rootfs/a");
    ground.accept(&linked.clone().file("rootfs/h", b"own").end());
    assert_eq!(
        (fs::read(ground.at("a")).unwrap(), fs::read(ground.at("h")).unwrap()),
        (b"kept".to_vec(), b"own".to_vec())
    );

    let ground = Ground::new();
    ground.accept(&linked.symlink("rootfs/s", "/canary").hard_link("rootfs/t", "rootfs/s").end());
    assert_eq!(fs::read(ground.at("h")).unwrap(), b"kept");
    assert_eq!(fs::read_link(ground.at("t")).unwrap().to_str(), Some("/canary"));
}

#[gate::root_test]
fn case_06_climbing_and_impossible_names() {
    let ground = Ground::new();
    for name in ["rootfs/a/../../x", "..", "rootfs/..", "../canary"] {
        ground.refuse(&Tar::image().file(name, b"").end(), "..");
    }
    ground.refuse(&Tar::image().file("", b"").end(), "no name");
    ground.refuse(&Tar::image().pax(&[("path", b"rootfs/a\0b")]).file("x", b"").end(), "NUL");
    let long = format!("rootfs/{}", "a".repeat(256));
    ground.refuse(&Tar::image().pax(&[("path", long.as_bytes())]).file("x", b"").end(), "255");
    let deep = format!("rootfs/{}x", "a/".repeat(2100));
    ground.refuse(&Tar::image().pax(&[("path", deep.as_bytes())]).file("x", b"").end(), "4095");
    let deep = format!("rootfs/{}x", "a/".repeat(600));
    ground.refuse(&Tar::image().pax(&[("path", deep.as_bytes())]).file("x", b"").end(), "components");
    ground.refuse(&Tar::image().file("rootfs/a/", b"").end(), "slash");
    ground.refuse(&Tar::image().file("rootfs/\x1b[2J/", b"").end(), "u{1b}");
}

#[gate::root_test]
fn case_07_absolute_names_are_of_the_root() {
    let ground = Ground::new();
    let tar = Tar::default().file("/manifest", MANIFEST).directory("//rootfs/.//", 0o755);
    ground.accept(&tar.file("/rootfs/etc/x", b"in").entry(b"rootfs/\xff", b'0', b"", |_| {}).end());
    assert_eq!(fs::read(ground.at("etc/x")).unwrap(), b"in");
    let ground = Ground::new();
    ground.refuse(&Tar::image().file("/etc/x", b"").end(), "only manifest and rootfs");
}

#[gate::root_test]
fn case_08_the_root_as_something_else() {
    let ground = Ground::new();
    ground.refuse(&Tar::default().symlink("./", "/").end(), "directory");
    ground.refuse(&Tar::default().file("./.", b"").end(), "directory");
    let dotted = Tar::default().directory("./", 0o700).file("./manifest", b"{}").directory("./rootfs", 0o755);
    ground.accept(&dotted.end());
}

#[gate::root_test]
fn case_09_rootfs_as_a_link() {
    let ground = Ground::new();
    ground.refuse(&Tar::image().symlink("rootfs", "/").end(), "rootfs to be a directory");
    let alone = Tar::default().file("manifest", MANIFEST);
    ground.refuse(
        &alone.clone().symlink("rootfs", "/").file("rootfs/tmp/x", b"").end(),
        "rootfs to be a directory",
    );
    ground.refuse(&alone.clone().file("rootfs/x", b"").end(), "no rootfs");
    ground.refuse(&alone.end(), "no rootfs");
    // Twice the same directory is nothing.
    ground.accept(&Tar::image().directory("rootfs", 0o755).end());
}

#[gate::root_test]
fn case_10_manifest_as_something_else() {
    let ground = Ground::new();
    let rootfs = || Tar::default().directory("rootfs", 0o755).file("rootfs/m", b"{}");
    for tar in [
        rootfs().symlink("manifest", "rootfs/m"),
        rootfs().directory("manifest", 0o755),
        rootfs().special("manifest", b'6', 0, 0),
        rootfs().hard_link("manifest", "rootfs/m"),
        rootfs().file("manifest/x", b""),
    ] {
        ground.refuse(&tar.end(), "regular file");
    }
    ground.refuse(&rootfs().end(), "no manifest");
    ground.refuse(&rootfs().file("manifest", &vec![b' '; (4 << 20) + 1]).end(), "expected at most");
    ground.accept(&rootfs().file("manifest", MANIFEST).end());
}

#[gate::root_test]
fn case_11_two_manifests() {
    let ground = Ground::new();
    ground.accept(&Tar::image().file("./manifest", b"[]").end());
    assert_eq!(fs::read(ground.at("../manifest")).unwrap(), b"[]");
    let ground = Ground::new();
    ground.refuse(&Tar::image().file("extra", b"").end(), "only manifest and rootfs");
}
