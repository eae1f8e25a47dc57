// SPDX-License-Identifier: Apache-2.0
//! More trees than a process may have open descriptors.

use std::fs;
use std::process::{Command, Output};

use gate::root_test;
use testing::pods::{Gantry, image_id};

use super::{image, refused, said, trees};

const TREES: usize = 200;
/// This number of descriptors is enough for any number of trees.
const ENOUGH: u64 = 64;

/// Makes a store with an image and [`TREES`] more trees that have nothing but a name. Returns also the image's id.
fn ground() -> (Gantry, String) {
    let gantry = Gantry::new();
    let file = image(&gantry, "real", "word");
    said(&gantry, &["image", "import", file.to_str().unwrap()]);
    for number in 0..TREES {
        let id = format!("sha256-{number:064x}");
        let tree = gantry.dir().join("store/tree-v1").join(&id);
        fs::create_dir_all(tree.join("tree")).unwrap();
        fs::write(tree.join("record"), "").unwrap();
        let name = format!("example.com/many-{number}");
        let info = format!(
            r#"{{"id": "{id}", "kind": "image", "name": "{name}", "size": 0, "objects": 0, "record": 0, "imported": 0}}"#
        );
        fs::write(tree.join("info"), info).unwrap();
    }
    (gantry, image_id(&file))
}

/// Returns the installer's command, limited to this number of descriptors.
fn limited(gantry: &Gantry, descriptors: u64, words: &[&str]) -> Output {
    let installer = gantry.installer();
    let mut limited = Command::new("/bin/sh");
    limited.env_clear().envs(installer.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited
        .args(["-c", &format!("ulimit -n {descriptors} && exec \"$@\""), "sh"])
        .arg(installer.get_program());
    limited.args(installer.get_args()).args(words).output().unwrap()
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("warning"), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[root_test]
fn few_descriptors_are_enough_for_many_trees() {
    let (gantry, id) = ground();
    let list = done(&limited(&gantry, ENOUGH, &["image", "list"]));
    assert_eq!(list.lines().count(), 1 + TREES + 1, "{list}");
    let removed = done(&limited(&gantry, ENOUGH, &["image", "rm", "example.com/many-7"]));
    assert_eq!(removed, format!("removed sha256-{:064x}\n", 7));
    let ambiguous = limited(&gantry, ENOUGH, &["image", "rm", &format!("sha256-{}", "0".repeat(62))]);
    refused(&ambiguous, &[&format!("sha256-{:064x}", 199), "expected one image's id"]);
    done(&limited(&gantry, ENOUGH, &["prepare", "--image", "example.com/real"]));
    let collected = done(&limited(&gantry, ENOUGH, &["gc"]));
    assert_eq!(collected.lines().count(), TREES - 1, "{collected}");
    let left = trees(&gantry);
    assert!(left.len() == 2 && left.contains(&id), "the pod's image and stage1: {left:?}");
}

/// With too few descriptors, a command fails; it reports no damage, and repairs nothing.
#[root_test]
fn what_can_not_be_looked_at_is_not_damaged() {
    let gantry = Gantry::new();
    let file = image(&gantry, "real", "word");
    let id = image_id(&file);
    said(&gantry, &["image", "import", file.to_str().unwrap()]);
    // With the file gone, nothing could be extracted again.
    fs::rename(&file, gantry.beside("elsewhere.aci")).unwrap();
    let commands: [(&[&str], &str); 3] = [
        (&["verify", "--repair"], "intact"),
        (&["image", "list", "--format", "json"], "example.com/real"),
        (&["image", "rm", "example.com/none"], ""),
    ];
    for (command, expected) in commands {
        let mut too_few = 0;
        for descriptors in 4..ENOUGH {
            let output = limited(&gantry, descriptors, command);
            let [out, error] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
            assert!(!error.contains("damaged"), "{command:?} with {descriptors}: {output:?}");
            if error.contains("os error 24") {
                too_few += 1;
                assert_eq!(output.status.code(), Some(1), "{command:?} with {descriptors}");
            } else {
                assert!(out.contains(expected), "{command:?} with {descriptors}: {output:?}");
            }
        }
        assert!(too_few > 3, "{command:?}: {too_few}");
        assert_eq!(trees(&gantry), [id.as_str()], "{command:?}");
    }
}
