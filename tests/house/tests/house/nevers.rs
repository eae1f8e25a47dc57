// SPDX-License-Identifier: Apache-2.0
//! What no line of a crate may contain.
//!
//! The crates are those of the workspace, so a new one is read like the others.

use crate::Workspace;
use crate::sources::{has_sources, lines};

/// Where unsafe code may stand, and what the kernel offers is wrapped.
const FLOOR: &str = "crates/sys/src/";
/// The library of programs alone.
const TERMINAL: &str = "crates/terminal";
/// The table of system calls, which has the name of each.
const TABLE: &str = "crates/filter/src/table.rs";

/// Returns the crates that are shipped, by their directories: libraries first, and programs after them.
fn shipped() -> (Vec<String>, Vec<String>) {
    let all = Workspace::read().directories.into_iter();
    let shipped = all.filter(|directory| !directory.starts_with("tests/") && directory != "fuzz");
    let (libraries, programs): (Vec<_>, Vec<_>) =
        shipped.partition(|directory| directory.starts_with("crates/") && directory != TERMINAL);
    assert!(libraries.len() >= 11 && programs.len() >= 6, "{libraries:?}, {programs:?}");
    (libraries, programs)
}

/// Returns all crates that are shipped.
fn all_shipped() -> Vec<String> {
    let (libraries, programs) = shipped();
    [libraries, programs].concat()
}

/// Returns the lines of these crates that contain one of the words, as `file: line`.
fn found<S: AsRef<str>>(crates: &[S], words: &[&str]) -> Vec<String> {
    let all = crates.iter().flat_map(|directory| lines(directory.as_ref()));
    let has = |text: &str| words.iter().any(|word| text.contains(word));
    all.filter(|line| has(&line.text)).map(|line| format!("{}: {}", line.file, line.text.trim())).collect()
}

/// Returns the lines that begin with none of these files or directories.
fn outside<'l>(lines: &'l [String], allowed: &[&str]) -> Vec<&'l String> {
    lines.iter().filter(|line| !allowed.iter().any(|place| line.starts_with(place))).collect()
}

const NONE: Vec<&String> = Vec::new();

#[test]
fn libraries_print_nothing() {
    let (libraries, programs) = shipped();
    let words = ["println!", "print!", "dbg!", "terminal::"];
    assert_eq!(found(&libraries, &words), Vec::<String>::new());
    assert_ne!(found(&programs, &words), Vec::<String>::new(), "programs do");
}

#[test]
fn the_store_knows_no_image_format() {
    let words = ["pod::manifest", "ImageManifest", "IMAGE_MANIFEST", "image::"];
    assert_eq!(found(&["crates/store"], &words), Vec::<String>::new());
    assert_ne!(found(&["crates/image"], &words), Vec::<String>::new(), "what reads images does");
}

#[test]
fn unsafe_code_stands_in_one_place() {
    let crates: Vec<_> = Workspace::read().directories.into_iter().filter(|one| has_sources(one)).collect();
    let all = found(&crates, &["unsafe ", "unsafe{", "unsafe(", "(unsafe)", "unsafe_code,"]);
    assert_eq!(outside(&all, &[FLOOR]), NONE);
    assert_ne!(all, Vec::<String>::new(), "and it is found there");
}

#[test]
fn paths_are_opened_in_one_place() {
    let all = found(&all_shipped(), &["openat2"]);
    // `make.rs` names the call in errors about paths that it does not even try.
    let is_named = |line: &&&String| line.contains("Sysno::openat2") || line.contains("\"openat2\"");
    let opens = outside(&all, &["crates/sys/src/open.rs", TABLE]);
    let wrong: Vec<_> = opens.iter().filter(|line| !is_named(line)).collect();
    assert_eq!(wrong, Vec::<&&String>::new());
    assert_ne!(all, Vec::<String>::new(), "and it is found there");
}

/// The kernel's interfaces that take care to use: new mounts, namespaces, forks, attributes, descriptors in messages.
const WITH_CARE: [&str; 20] = [
    "ScmRights",
    "recvmsg(",
    "sendmsg(",
    "sendmsg_addr(",
    "fsopen(",
    "fsmount(",
    "move_mount(",
    "open_tree(",
    "mount_setattr(",
    "pivot_root(",
    "CloneFlags::",
    "move_into_link_name_space(",
    "unistd::fork",
    "sigaction(",
    "fsetxattr(",
    "flistxattr(",
    "fgetxattr(",
    "setfsuid(",
    "libc::syscall(",
    "remove_capability_from_bounding_set(",
];

#[test]
fn no_two_crates_wrap_the_same_system_call() {
    let all = found(&all_shipped(), &WITH_CARE);
    assert_eq!(outside(&all, &[FLOOR]), NONE);
    let unknown = |word: &&&str| !all.iter().any(|line| line.contains(**word));
    let unknown: Vec<_> = WITH_CARE.iter().filter(unknown).collect();
    assert_eq!(unknown, Vec::<&&str>::new(), "each is found there");
}

/// Where errors are looked into that another library has wrapped: rustls's, which come in an `io::Error`, and hints, which
/// are printed and decide nothing.
const UNWRAPPED: [&str; 2] = ["crates/registry/src/client/failure.rs", "crates/report/src/lib.rs"];

#[test]
fn nothing_is_decided_by_downcasting() {
    let all = found(&all_shipped(), &["downcast", ".is::<"]);
    assert_eq!(outside(&all, &UNWRAPPED), NONE);
    assert_eq!(all.len(), UNWRAPPED.len(), "a line in each of these: {all:?}");
}

#[test]
fn the_contract_does_no_io() {
    let words = ["std::fs", "env::var", "std::process", "std::os::fd", "rustix::", "sys::"];
    assert_eq!(found(&["crates/pod", "crates/filter"], &words), Vec::<String>::new());
    assert_ne!(found(&["crates/store"], &words), Vec::<String>::new(), "the store does");
}
