// SPDX-License-Identifier: Apache-2.0
//! The store as a person uses it: known images are not unpacked again, nothing that a pod needs vanishes, and damage is
//! found.

mod damage;
mod dependencies;
mod ended;
mod gc;
mod layouts;
mod links;
mod many;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use gate::root_test;
use serde_json::{Value, json};
use testing::image::manifest;
use testing::pods::{Gantry, assert_says, image_id, status};
use testing::rootfs::{Node, Rootfs};

/// Writes an image of busybox that prints a word.
fn image(gantry: &Gantry, name: &str, word: &str) -> PathBuf {
    let busybox = Rootfs::busybox().unwrap().with("etc/word", Node::File(0o644, word.into()));
    gantry.image(name, &busybox, &manifest(name, &["/bin/cat", "/etc/word"]))
}

/// Runs the installer with these words, which must succeed, and returns what it prints.
fn said(gantry: &Gantry, words: &[&str]) -> String {
    let output = gantry.installer().args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Checks that the installer failed with code 1 and one line that contains all of `parts`.
fn refused(output: &Output, parts: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    assert_says(&error, parts);
}

fn trees(gantry: &Gantry) -> Vec<String> {
    let entries = fs::read_dir(gantry.dir().join("store/tree-v1")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

#[root_test]
fn what_is_known_is_not_read_again() {
    let gantry = Gantry::new();
    let file = image(&gantry, "known", "word");
    let id = image_id(&file);
    assert_eq!(said(&gantry, &["image", "import", file.to_str().unwrap()]), format!("{id}\n"));
    let by_digest = format!("{}@{id}", file.display());
    // Neither file is an archive any more, and none is read.
    fs::write(&file, "no archive").unwrap();
    for name in [by_digest.as_str(), &id, &id[..20], "example.com/known"] {
        let pod = said(&gantry, &["prepare", "--image", name]);
        let output = gantry.start(Path::new(pod.trim())).wait();
        assert_eq!((output.0, output.1.stdout.as_slice()), (0, &b"word"[..]), "{name}");
    }
    assert_eq!(trees(&gantry).len(), 2, "the image and stage1");
    gantry.wait_all();
}

/// The directory may belong to any user.
#[root_test]
fn where_no_store_is_none_is_made_to_look_into() {
    let gantry = Gantry::new();
    let images = |format| said(&gantry, &["image", "list", "--format", format]);
    let of_nothing = [images("table"), images("json")];
    fs::create_dir(gantry.dir()).unwrap();
    fs::set_permissions(gantry.dir(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(gantry.dir().join("mine"), "").unwrap();
    assert_eq!([images("table"), images("json")], of_nothing);
    assert_eq!((of_nothing[0].lines().count(), of_nothing[1].as_str()), (1, "[]\n"));
    assert_eq!(
        [&["gc"][..], &["verify"], &["verify", "--repair"]].map(|words| said(&gantry, words)),
        [""; 3]
    );
    let id = format!("sha256-{}", "0".repeat(64));
    for words in [["image", "rm", "example.com/none"].as_slice(), &["image", "rm", &id], &["verify", &id]] {
        let output = gantry.installer().args(words).output().unwrap();
        refused(&output, &[words.last().unwrap(), "in the store"]);
    }
    let left: Vec<_> = fs::read_dir(gantry.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["mine"]);
}

#[root_test]
fn a_file_is_known_by_its_content_alone() {
    let gantry = Gantry::new();
    let file = image(&gantry, "one", "first");
    let first = gantry.prepare(&[&file], &[]);
    // Other content with the same length, name and place.
    let content = fs::read(&file).unwrap();
    image(&gantry, "one", "other");
    assert_eq!(fs::read(&file).unwrap().len(), content.len());
    let second = gantry.prepare(&[&file], &[]);
    for (pod, word) in [(&first, "first"), (&second, "other")] {
        assert_eq!(gantry.start(pod).wait().1.stdout, word.as_bytes());
    }
    assert_eq!(trees(&gantry).len(), 3);
    gantry.wait_all();
}

#[root_test]
fn a_warm_pod_takes_next_to_no_space() {
    let gantry = Gantry::new();
    let busybox = Rootfs::busybox().unwrap().with("large", Node::File(0o644, vec![7; 8 << 20]));
    let file = gantry.image("large", &busybox, &manifest("large", &["/bin/true"]));
    gantry.prepare(&[&file], &[]);
    let pod = gantry.prepare(&[&file], &[]);
    let usage = std::process::Command::new("du").args(["-s", "--block-size=1"]).arg(&pod).output().unwrap();
    let bytes = String::from_utf8(usage.stdout).unwrap();
    let bytes: u64 = bytes.split_whitespace().next().unwrap().parse().unwrap();
    assert!(bytes <= 1 << 20, "{bytes} bytes");
}

#[root_test]
fn names_that_could_mean_two_images_are_refused() {
    let gantry = Gantry::new();
    let one = image(&gantry, "twin", "one");
    said(&gantry, &["image", "import", one.to_str().unwrap()]);
    let ids = [image_id(&one), image_id(&image(&gantry, "twin", "two"))];
    said(&gantry, &["image", "import", one.to_str().unwrap()]);
    for name in ["example.com/twin", "sha256-"] {
        let output = gantry.installer().args(["image", "rm", name]).output().unwrap();
        let parts: &[&str] = if name == "sha256-" { &["no image"] } else { &["could be", &ids[0], &ids[1]] };
        refused(&output, parts);
    }
    let output = gantry.installer().args(["prepare", "--image", "example.com/none"]).output().unwrap();
    refused(&output, &["example.com/none", "image list"]);
    let output = gantry.installer().args(["prepare", "--image", "sha256-00000"]).output().unwrap();
    refused(&output, &["sha256-00000"]);
}

#[root_test]
fn images_are_listed_with_their_pods() {
    let gantry = Gantry::new();
    assert_eq!(said(&gantry, &["image", "list", "--format", "json"]), "[]\n");
    let file = image(&gantry, "listed", "word");
    let pod = gantry.prepare(&[&file], &[]);
    let listed: Value = serde_json::from_str(&said(&gantry, &["image", "list", "--format", "json"])).unwrap();
    let one = &listed.as_array().unwrap()[0];
    assert_eq!(one["id"], json!(image_id(&file)));
    assert_eq!(one["name"], json!("example.com/listed"));
    assert_eq!(one["pods"], json!([pod.file_name().unwrap().to_str()]));
    let size = one["size"].as_u64().unwrap();
    assert!(size > 1 << 20 && size < fs::metadata(&file).unwrap().len(), "{size}");
    let table = said(&gantry, &["image", "list"]);
    let row = table.lines().nth(1).unwrap();
    assert!(row.contains(&image_id(&file)[..19]) && row.ends_with("example.com/listed"), "{table}");
    assert_eq!(table.lines().count(), 2, "stage1 is no image");
}

#[root_test]
fn a_failed_prepare_leaves_the_store_as_it_was() {
    let gantry = Gantry::new();
    let good = image(&gantry, "good", "word");
    let busybox = Rootfs::busybox().unwrap();
    let bad = gantry.image("bad", &busybox, &manifest("bad", &["/none"]));
    let output = gantry.with_images("prepare", &[&good, &bad], &[]).output().unwrap();
    refused(&output, &["app bad", "/none"]);
    assert!(!gantry.dir().exists(), "nothing was there before");
    let pod = gantry.prepare(&[&good], &[]);
    let before = trees(&gantry);
    let output = gantry.with_images("prepare", &[&good, &bad], &[]).output().unwrap();
    refused(&output, &["app bad", "/none"]);
    assert_eq!(trees(&gantry), before);
    assert!(is_empty(&gantry.dir().join("staging")));
    assert_eq!(gantry.start(&pod).wait().0, 0);
    gantry.wait_all();
}

#[root_test]
fn a_pod_that_nobody_is_told_of_is_gone() {
    let gantry = Gantry::new();
    let (known, new) = (image(&gantry, "known", "k"), image(&gantry, "new", "n"));
    let prepare = |images: &[&Path]| {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = gantry.with_images("prepare", images, &[]).stdout(full).output().unwrap();
        refused(&output, &["No space left on device"]);
    };
    prepare(&[&known]);
    assert!(!gantry.dir().exists(), "nothing was there before");
    said(&gantry, &["image", "import", known.to_str().unwrap()]);
    prepare(&[&known, &new]);
    assert_eq!(trees(&gantry), [image_id(&known)]);
    assert!(["staging", "containers"].iter().all(|name| is_empty(&gantry.dir().join(name))));
}

#[root_test]
fn a_stage1_is_no_image() {
    let gantry = Gantry::new();
    let file = image(&gantry, "a", "word");
    gantry.prepare(&[&file], &[]);
    let stage1 = trees(&gantry).into_iter().find(|id| *id != image_id(&file)).unwrap();
    let output = gantry.installer().args(["prepare", "--image", &stage1]).output().unwrap();
    refused(&output, &[&stage1, "no image", "stage1"]);
}

#[root_test]
fn a_store_that_others_can_write_to_is_refused() {
    let gantry = Gantry::new();
    let file = image(&gantry, "a", "word");
    let pod = gantry.prepare(&[&file], &[]);
    for name in ["store", "store/tree-v1", "store/alias-v1", "store/name-v1", "store/blob-v1"] {
        let directory = gantry.dir().join(name);
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
        let output = gantry.with_images("prepare", &[&file], &[]).output().unwrap();
        refused(&output, &[name, "others can write to it"]);
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(&directory, Some(1000), None).unwrap();
        let output = gantry.with_images("prepare", &[&file], &[]).output().unwrap();
        refused(&output, &[name, "owner 1000"]);
        std::os::unix::fs::chown(&directory, Some(0), None).unwrap();
    }
    let (code, _) = gantry.start(&pod).wait();
    assert_eq!((code, status(&pod, "a")), (0, 0));
    gantry.wait_all();
}
