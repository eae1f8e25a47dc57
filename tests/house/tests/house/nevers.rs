// SPDX-License-Identifier: Apache-2.0
//! What no line of a crate may contain.

use crate::sources::lines;

/// Libraries print nothing: they return it to their callers.
const LIBRARIES: [&str; 10] = [
    "crates/archive",
    "crates/image",
    "crates/network",
    "crates/pod",
    "crates/pods",
    "crates/prepare",
    "crates/registry",
    "crates/report",
    "crates/store",
    "crates/sys",
];
const PROGRAMS: [&str; 3] = ["installer", "rootfs-build", "stage1-init"];

/// Where unsafe code may stand.
const UNSAFE: &str = "crates/sys/src/";
/// The library of programs alone.
const TERMINAL: &str = "crates/terminal";

/// Returns the lines of these crates that contain one of the words, as `file: line`.
fn found<'a>(crates: impl IntoIterator<Item = &'a str>, words: &[&str]) -> Vec<String> {
    let all = crates.into_iter().flat_map(lines);
    let has = |text: &str| words.iter().any(|word| text.contains(word));
    all.filter(|line| has(&line.text)).map(|line| format!("{}: {}", line.file, line.text.trim())).collect()
}

#[test]
fn libraries_print_nothing() {
    let words = ["println!", "print!", "terminal::"];
    assert_eq!(found(LIBRARIES, &words), Vec::<String>::new());
    assert_ne!(found(PROGRAMS, &words), Vec::<String>::new(), "programs do");
}

#[test]
fn the_store_knows_no_image_format() {
    let words = ["pod::manifest", "ImageManifest", "IMAGE_MANIFEST", "image::"];
    assert_eq!(found(["crates/store"], &words), Vec::<String>::new());
    assert_ne!(found(["crates/image"], &words), Vec::<String>::new(), "what reads images does");
}

#[test]
fn unsafe_code_stands_in_one_place() {
    let crates = LIBRARIES.into_iter().chain(PROGRAMS).chain([TERMINAL]);
    let all = found(crates, &["unsafe ", "unsafe{", "unsafe(", "(unsafe)", "unsafe_code,"]);
    let wrong: Vec<_> = all.iter().filter(|line| !line.starts_with(UNSAFE)).collect();
    assert_eq!(wrong, Vec::<&String>::new());
    assert_ne!(all, Vec::<String>::new(), "and it is found there");
}

#[test]
fn paths_are_opened_in_one_place() {
    let all = found(LIBRARIES.into_iter().chain(PROGRAMS), &["openat2"]);
    // `make.rs` names the call in errors about paths that it does not even try.
    let is_allowed = |line: &str| {
        line.starts_with("crates/sys/src/open.rs")
            || line.contains("Sysno::openat2")
            || line.contains("\"openat2\"")
    };
    let wrong: Vec<_> = all.iter().filter(|line| !is_allowed(line)).collect();
    assert_eq!(wrong, Vec::<&String>::new());
    assert_ne!(all, Vec::<String>::new(), "and it is found there");
}
