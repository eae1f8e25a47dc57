// SPDX-License-Identifier: Apache-2.0
//! Parts of DIR that are not the directories that Gantry makes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use gate::root_test;
use testing::tiny::Tiny;

use super::{is_empty, refused};

const COMMANDS: &[&[&str]] = &[
    &["prepare", "--image", "tiny.aci"],
    &["image", "import", "tiny.aci"],
    &["image", "list"],
    &["image", "rm", "example.com/tiny"],
    &["gc"],
    &["verify"],
    &["verify", "--repair"],
];

/// Others may own what is elsewhere, so it is not used, and it doesn't count as absent.
#[root_test]
fn a_part_of_dir_that_is_a_link_or_a_file_is_refused_by_every_command() {
    let tiny = Tiny::new();
    let elsewhere = tiny.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let to_directory = |at: &Path| symlink(&elsewhere, at).unwrap();
    let to_nothing = |at: &Path| symlink("nothing", at).unwrap();
    let file = |at: &Path| fs::write(at, "").unwrap();
    let all: [&dyn Fn(&Path); 3] = [&to_directory, &to_nothing, &file];
    for part in [
        "staging",
        "containers",
        "store",
        "store/tree-v1",
        "store/alias-v1",
        "store/name-v1",
        "store/blob-v1",
    ] {
        for (number, put) in all.iter().enumerate() {
            let at = tiny.dir().join(part);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            put(&at);
            for words in COMMANDS {
                let about = format!("{part} {number} {words:?}");
                let output = tiny.installer(words).output().unwrap();
                assert_eq!(output.status.code(), Some(1), "{about}: {output:?}");
                refused(&output, &[&format!("{part} is a file or a link"), "expected a directory"]);
                assert!(is_empty(&elsewhere), "{about}");
                let names: Vec<_> = fs::read_dir(tiny.dir()).unwrap().collect();
                assert_eq!(names.len(), 1, "{about}: {names:?}: nothing is made beside it");
            }
            fs::remove_dir_all(tiny.dir()).unwrap();
        }
    }
}
