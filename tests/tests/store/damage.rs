// SPDX-License-Identifier: Apache-2.0
//! Trees that are no longer what they were.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use tests::host::can_run;
use tests::pods::{Gantry, image_id};

use super::gc::Waiting;
use super::{image, is_empty, refused, said, trees};

/// A store with one image; its tree's rootfs and its id.
fn ground() -> (Gantry, std::path::PathBuf, std::path::PathBuf, String) {
    let gantry = Gantry::new();
    let file = image(&gantry, "a", "word");
    said(&gantry, &["image", "import", file.to_str().unwrap()]);
    let id = image_id(&file);
    let rootfs = gantry.dir().join("store/tree-v1").join(&id).join("tree/rootfs");
    (gantry, file, rootfs, id)
}

#[test]
fn every_difference_is_named() {
    if !can_run("every_difference_is_named") {
        return;
    }
    let (gantry, _, rootfs, id) = ground();
    assert_eq!(said(&gantry, &["verify"]), format!("{id}: intact\n"));
    // Each is one thing, undone by nobody: all are named at the end.
    fs::write(rootfs.join("etc/word"), "fate").unwrap();
    fs::set_permissions(rootfs.join("etc/passwd"), fs::Permissions::from_mode(0o666)).unwrap();
    fs::write(rootfs.join("extra\n"), "").unwrap();
    fs::remove_file(rootfs.join("usr/bin/cat")).unwrap();
    symlink("sh", rootfs.join("usr/bin/cat")).unwrap();
    fs::remove_file(rootfs.join("usr/bin/ls")).unwrap();
    let output = gantry.installer().arg("verify").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    for part in
        ["rootfs/etc/word", "rootfs/etc/passwd", "extra\\n", "rootfs/usr/bin/cat", "rootfs/usr/bin/ls"]
    {
        assert!(text.lines().any(|line| line.starts_with(&id) && line.contains(part)), "{part}: {text}");
    }
}

#[test]
fn a_damaged_tree_is_renewed_from_its_file() {
    if !can_run("a_damaged_tree_is_renewed_from_its_file") {
        return;
    }
    let (gantry, _, rootfs, id) = ground();
    let pod = said(&gantry, &["prepare", "--image", &id]);
    fs::write(rootfs.join("etc/word"), "fate").unwrap();
    let repaired = said(&gantry, &["verify", "--repair", &id]);
    assert!(repaired.ends_with(&format!("{id}: renewed from its file\n")), "{repaired}");
    assert_eq!(said(&gantry, &["verify", &id]), format!("{id}: intact\n"));
    assert!(is_empty(&gantry.dir().join("staging")));
    assert_eq!(gantry.start(Path::new(pod.trim())).wait().1.stdout, b"word");
    gantry.wait_all();
}

#[test]
fn a_tree_that_can_not_be_renewed_is_taken_out() {
    if !can_run("a_tree_that_can_not_be_renewed_is_taken_out") {
        return;
    }
    let (gantry, file, rootfs, id) = ground();
    let pod = said(&gantry, &["prepare", "--image", &id]);
    let pod = Path::new(pod.trim());
    fs::remove_file(rootfs.join("usr/bin/cat")).unwrap();
    let elsewhere = gantry.beside("elsewhere.aci");
    fs::rename(&file, &elsewhere).unwrap();
    let output = gantry.installer().args(["verify", "--repair", &id]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let name = pod.file_name().unwrap().to_str().unwrap();
    assert!(
        text.lines().last().unwrap().contains(&format!("import its file again for pod {name}")),
        "{text}"
    );
    assert!(!trees(&gantry).contains(&id));
    // Its pod says what is missing, and runs again once that is back.
    let (code, output) = gantry.start(pod).wait();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((code, error.lines().count()), (1, 1), "{error}");
    assert!(error.contains(&id), "{error}");
    said(&gantry, &["image", "import", elsewhere.to_str().unwrap()]);
    assert_eq!(gantry.start(pod).wait().1.stdout, b"word");
    gantry.wait_all();
}

#[test]
fn a_damaged_tree_stays_under_a_running_pod() {
    if !can_run("a_damaged_tree_stays_under_a_running_pod") {
        return;
    }
    let gantry = Gantry::new();
    let Waiting { image, running, go, .. } = Waiting::start(&gantry);
    let id = image_id(&image);
    let tree = gantry.dir().join("store/tree-v1").join(&id).join("tree");
    fs::write(tree.join("rootfs/extra"), "").unwrap();
    let output = gantry.installer().args(["verify", "--repair", &id]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.lines().last().unwrap().contains("in use, so not repaired"), "{text}");
    assert!(tree.join("rootfs/extra").exists(), "it is another");
    fs::write(&go, "\n").unwrap();
    let (code, output) = running.wait();
    assert_eq!((code, output.stdout.ends_with(b"word")), (0, true), "{output:?}");
    gantry.wait_all();
}

#[test]
fn what_is_half_there_is_not_trusted() {
    if !can_run("what_is_half_there_is_not_trusted") {
        return;
    }
    for part in ["info", "record", "tree"] {
        let (gantry, file, rootfs, id) = ground();
        let tree = rootfs.parent().unwrap().parent().unwrap();
        if part == "tree" {
            fs::rename(tree.join(part), gantry.beside("tree")).unwrap();
        } else {
            let content = fs::read(tree.join(part)).unwrap();
            fs::write(tree.join(part), &content[..content.len() - 1]).unwrap();
        }
        for name in [file.to_str().unwrap(), &id] {
            let output = gantry.installer().args(["prepare", "--image", name]).output().unwrap();
            refused(&output, &[&id, "damaged", "verify --repair"]);
        }
        let output = gantry.installer().args(["verify", "--repair"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("renewed") || text.contains("taken out"), "{part}: {text}");
        gantry.prepare(&[&file], &[]);
        assert_eq!(said(&gantry, &["verify", &id]), format!("{id}: intact\n"));
    }
}

/// The same tar in another file: nobody knows that its tree is there before all of it is unpacked.
#[test]
fn a_damaged_tree_is_replaced_by_the_one_that_comes() {
    if !can_run("a_damaged_tree_is_replaced_by_the_one_that_comes") {
        return;
    }
    let (gantry, file, rootfs, id) = ground();
    let again = gantry.beside("again.aci.gz");
    let mut gzip =
        flate2::write::GzEncoder::new(fs::File::create(&again).unwrap(), flate2::Compression::fast());
    gzip.write_all(&fs::read(file).unwrap()).unwrap();
    gzip.finish().unwrap();
    fs::write(rootfs.join("etc/word"), "fate").unwrap();
    let output = gantry.installer().args(["image", "import"]).arg(&again).output().unwrap();
    let warning = String::from_utf8(output.stderr).unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{id}\n"), "{warning}");
    assert!(warning.starts_with("warning: ") && warning.contains(&id), "{warning}");
    assert_eq!(said(&gantry, &["verify", &id]), format!("{id}: intact\n"));
    assert!(is_empty(&gantry.dir().join("staging")));
}
