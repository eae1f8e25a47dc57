// SPDX-License-Identifier: Apache-2.0
//! DIR in real directories: made, swept, published into, and unmade.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::process::geteuid;
use tar::{EntryType, Header};

use super::*;
use crate::extract::{Expected, Policy, Unpacker};

const DEAD: &str = "6733c088-a507-4694-aabf-ae0bc1ccaaff";

/// Whether this test can run; staging belongs to root.
fn can_run(test: &str) -> bool {
    if geteuid().is_root() {
        return true;
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{test} needs root, and CI=true forbids a skip");
    eprintln!("skipped: {test} needs root");
    false
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn archive(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

fn unpack<P: Policy>(source: &[u8], root: OwnedFd, policy: P) -> Verified<P> {
    Unpacker::default().unpack(source, Expected::Anything, root, std::io::sink(), policy).unwrap()
}

#[test]
fn a_pod_directory_appears_whole() {
    if !can_run("a_pod_directory_appears_whole") {
        return;
    }
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("a/b");
    let home = Home::open(&dir).unwrap();
    let staging = Staging::create(&home).unwrap();
    let root = make_directory(&staging.directory, layout::STAGE1).unwrap();
    let stage1 = unpack(&archive(&[("init", EntryType::Regular, b"")]), root, Stage1Policy::default());
    let image = archive(&[("manifest", EntryType::Regular, b"{}"), ("rootfs/", EntryType::Directory, b"")]);
    let (image, id) = add_image(&staging, &image, 0).unwrap();
    assert_eq!(names(&dir.join("containers")), [""; 0]);
    let pod = staging.publish(&stage1, &[image], b"manifest").unwrap();

    assert_eq!(pod, dir.join("containers").join(staging.id().to_string()));
    assert_eq!(names(&dir.join("staging")), [""; 0]);
    assert_eq!(names(&pod), ["container", "stage1"]);
    assert_eq!(fs::read(pod.join("container")).unwrap(), b"manifest");
    assert_eq!(names(&pod.join("stage1").join(layout::image(&id))), ["manifest", "rootfs"]);
    for private in [&dir, &dir.join("containers"), &dir.join("staging"), &pod] {
        assert_eq!(mode(private), 0o700, "{}", private.display());
    }
    staging.withdraw();
    staging.discard();
    home.abandon();
    assert_eq!(names(outer.path()), [""; 0], "nothing of it is left, nor what was made for it");
}

fn add_image(staging: &Staging<'_>, image: &[u8], number: usize) -> Result<(Verified<ImagePolicy>, Digest)> {
    let unpack = |place: Place<'_>| Ok(unpack(image, place.root.try_clone()?, ImagePolicy::default()));
    staging.place_image(staging.unpack_image(&[], number, unpack)?)
}

#[test]
fn the_same_image_twice_is_refused() {
    if !can_run("the_same_image_twice_is_refused") {
        return;
    }
    let outer = tempfile::tempdir().unwrap();
    let home = Home::open(outer.path()).unwrap();
    let staging = Staging::create(&home).unwrap();
    drop(make_directory(&staging.directory, layout::STAGE1).unwrap());
    let image = archive(&[("manifest", EntryType::Regular, b"{}"), ("rootfs/", EntryType::Directory, b"")]);
    add_image(&staging, &image, 0).unwrap();
    let again = add_image(&staging, &image, 1).unwrap_err();
    assert!(format!("{again:#}").contains("expected each image once"));
    staging.discard();
}

#[test]
fn the_dead_are_swept_and_the_living_stay() {
    if !can_run("the_dead_are_swept_and_the_living_stay") {
        return;
    }
    let outer = tempfile::tempdir().unwrap();
    let canary = outer.path().join("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("file"), "alive").unwrap();
    let home = Home::open(&outer.path().join("dir")).unwrap();
    let entries = outer.path().join("dir/staging");
    let alive = Staging::create(&home).unwrap();
    fs::create_dir_all(entries.join(DEAD).join("d/e")).unwrap();
    fs::write(entries.join(DEAD).join("d/e/f"), "x").unwrap();
    fs::set_permissions(entries.join(DEAD).join("d"), fs::Permissions::from_mode(0o500)).unwrap();
    symlink(&canary, entries.join(DEAD).join("d/link")).unwrap();
    fs::create_dir(entries.join("not-ours")).unwrap();

    let second = Staging::create(&home).unwrap();
    let mut expected = vec![alive.id().to_string(), second.id().to_string(), "not-ours".to_owned()];
    expected.sort();
    assert_eq!(names(&entries), expected);
    assert_eq!(fs::read(canary.join("file")).unwrap(), b"alive");
    alive.discard();
    second.discard();
    assert_eq!(names(&entries), ["not-ours"]);
}

#[test]
fn a_sweep_does_not_take_what_was_published_meanwhile() {
    if !can_run("a_sweep_does_not_take_what_was_published_meanwhile") {
        return;
    }
    let outer = tempfile::tempdir().unwrap();
    let home = Home::open(outer.path()).unwrap();
    let staging = Staging::create(&home).unwrap();
    let name = staging.name.clone();
    assert!(sweep::lock(&home.staging, &name).unwrap().is_none(), "its builder has it");
    let Home { staging: from, containers, .. } = &home;
    renameat_with(from, &name, containers, &name, RenameFlags::NOREPLACE).unwrap();
    drop(staging);
    assert!(sweep::lock(&home.staging, &name).unwrap().is_none(), "it is no longer there");
    assert_eq!(names(&outer.path().join("containers")).len(), 1);
}

#[test]
fn a_directory_in_use_is_not_unmade() {
    if !can_run("a_directory_in_use_is_not_unmade") {
        return;
    }
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("dir");
    let first = Home::open(&dir).unwrap();
    let second = Home::open(&dir).unwrap();
    first.abandon();
    assert_eq!(names(&dir), ["containers", "staging"]);
    Staging::create(&second).unwrap().discard();
}

#[test]
fn directories_that_others_can_write_to_are_refused() {
    if !can_run("directories_that_others_can_write_to_are_refused") {
        return;
    }
    let outer = tempfile::tempdir().unwrap();
    fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(format!("{:#}", Home::open(outer.path()).unwrap_err()).contains("others can write"));
    assert_eq!(names(outer.path()), [""; 0]);
}

#[test]
fn a_place_where_nothing_can_be_made_is_refused() {
    for path in ["/proc/gantry", "/dev/null/gantry"] {
        Home::open(Path::new(path)).unwrap_err();
    }
}
