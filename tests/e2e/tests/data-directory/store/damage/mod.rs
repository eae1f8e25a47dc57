// SPDX-License-Identifier: Apache-2.0
//! Damaged trees: they are found, named, and repaired.

mod repair;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::process::Command;

use gate::root_test;
use testing::pods::{Gantry, image_id};

use super::{image, is_empty, refused, said, trees};

/// Makes a store with one image. Returns also the image's file, its tree's rootfs and its id.
fn ground() -> (Gantry, std::path::PathBuf, std::path::PathBuf, String) {
    let gantry = Gantry::new();
    let file = image(&gantry, "a", "word");
    said(&gantry, &["image", "import", file.to_str().unwrap()]);
    let id = image_id(&file);
    let rootfs = gantry.dir().join("store/tree-v1").join(&id).join("tree/rootfs");
    (gantry, file, rootfs, id)
}

/// Runs `installer verify --repair` with these words. Returns its code and what it prints.
fn repair(gantry: &Gantry, words: &[&str]) -> (Option<i32>, String, String) {
    let output = gantry.installer().args(["verify", "--repair"]).args(words).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[root_test]
fn every_difference_is_named() {
    let (gantry, _, rootfs, id) = ground();
    assert_eq!(said(&gantry, &["verify"]), format!("{id}: intact\n"));
    // The damages are independent, and nothing undoes them: all are named at the end.
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

/// The installer runs out of descriptors at one place after another.
#[root_test]
fn the_systems_trouble_is_no_damage() {
    let (gantry, _, _, id) = ground();
    let (mut looked, mut most) = (0, 0);
    for count in 3.. {
        let mut shell = Command::new("/bin/sh");
        let program = gantry.installer();
        shell.args(["-c", "ulimit -n $0; exec \"$@\""]).arg(count.to_string()).arg(program.get_program());
        let output = shell.args(program.get_args()).args(["verify", "--repair"]).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!String::from_utf8_lossy(&output.stdout).contains("taken out"), "{count}: {output:?}");
        assert_eq!(trees(&gantry), [id.as_str()], "{count}: {error}");
        if output.status.success() {
            most = count;
            break;
        }
        looked += usize::from(error.starts_with(&format!("error: cannot look at tree {id}: ")));
    }
    assert!(looked > 0, "with {most} descriptors there are enough");
}

#[root_test]
fn what_is_half_there_is_not_trusted() {
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

/// Each tree is whole, but has the other's name.
#[root_test]
fn a_tree_of_another_name_is_damaged() {
    let (gantry, one, _, id) = ground();
    let other = image(&gantry, "other", "other");
    let ids = [id, image_id(&other)];
    said(&gantry, &["image", "import", other.to_str().unwrap()]);
    let [first, second] = ids.each_ref().map(|id| gantry.dir().join("store/tree-v1").join(id));
    fs::rename(&first, gantry.beside("tree")).unwrap();
    fs::rename(&second, &first).unwrap();
    fs::rename(gantry.beside("tree"), &second).unwrap();
    refused(&gantry.with_images("prepare", &[&one], &[]).output().unwrap(), &[&ids[0], "damaged", &ids[1]]);
    let output = gantry.installer().arg("verify").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), text.lines().count()), (Some(1), 2), "{text}");
    for (id, found) in [(&ids[0], &ids[1]), (&ids[1], &ids[0])] {
        let line = text.lines().find(|line| line.starts_with(id.as_str())).unwrap();
        assert!(line.ends_with(&format!("it is tree {found}: expected {id}")), "{line}");
    }
    let (code, out, _) = repair(&gantry, &[]);
    assert_eq!((code, out.matches("renewed from its file").count()), (Some(0), 2), "{out}");
    assert_eq!(said(&gantry, &["verify"]).matches(": intact").count(), 2);
}

/// A user who can write there can have changed everything, including the record, so only the image's file can repair
/// it.
#[root_test]
fn a_tree_that_others_can_write_to_is_damaged() {
    let (gantry, file, _, id) = ground();
    let tree = gantry.dir().join("store/tree-v1").join(&id);
    for (mode, owner) in [(0o720, 0), (0o702, 0), (0o700, 1000)] {
        fs::set_permissions(&tree, fs::Permissions::from_mode(mode)).unwrap();
        chown(&tree, Some(owner), None).unwrap();
        let found = format!("others can write to it: owner {owner}, mode {mode:04o}");
        refused(&gantry.with_images("prepare", &[&file], &[]).output().unwrap(), &[&id, "damaged", &found]);
        let output = gantry.installer().arg("verify").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!((output.status.code(), text.contains(&found)), (Some(1), true), "{text}");
        let (code, out, _) = repair(&gantry, &[]);
        assert!(code == Some(0) && out.ends_with(&format!("{id}: renewed from its file\n")), "{out}");
        assert_eq!(fs::metadata(&tree).unwrap().permissions().mode() & 0o7777, 0o700);
        assert_eq!(said(&gantry, &["verify"]), format!("{id}: intact\n"));
    }
}

/// The same tar in another file: Gantry learns that its tree is known only when all of it is unpacked.
#[root_test]
fn a_damaged_tree_is_replaced_by_the_one_that_comes() {
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
