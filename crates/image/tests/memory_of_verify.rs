// SPDX-License-Identifier: Apache-2.0
//! What a comparison with a record takes of memory. Alone in its program, since it is the program's peak that is looked
//! at.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "the harness takes what a test says")]
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

use std::fs::{self, File};
use std::io::BufReader;

use image::ImagePolicy;
use store::extract::{Expected, Unpacker};
use store::record::differences;
use sys::Interrupt;

#[path = "hostile/writer.rs"]
mod writer;

/// Files, each of two names of which one is elsewhere.
const COUNT: usize = 3000;

/// The directory that all of them are in, as long as a path may be.
fn long() -> String {
    format!("rootfs/{}", vec!["d".repeat(250); 14].join("/"))
}

fn kib(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[gate::root_test]
fn paths_of_hard_links_are_not_kept() {
    // In memory, of which files are not this program's: a disk would be slow.
    let outer = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let tree = outer.path().join("t");
    fs::create_dir(&tree).unwrap();
    let name = |number: usize| format!("{}/{number}", long());
    let tar = (0..COUNT).fold(writer::Tar::image(), |tar, number| {
        tar.pax(&[("path", name(number).as_bytes())]).file("file", b"")
    });
    let record = File::create(outer.path().join("record")).unwrap();
    let root = || File::open(&tree).unwrap().into();
    let (tar, policy) = (tar.end(), ImagePolicy::default());
    Unpacker::default().unpack(tar.as_slice(), Expected::Anything, root(), record, policy).unwrap();
    drop(tar);
    for number in 0..COUNT {
        fs::hard_link(tree.join(name(number)), outer.path().join(number.to_string())).unwrap();
    }
    // proc_pid_clear_refs(5): the peak becomes what is there now.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = kib("VmHWM:");
    let record = BufReader::new(File::open(outer.path().join("record")).unwrap());
    assert_eq!(differences(record, &root(), &Interrupt::default()).unwrap(), []);
    let taken = kib("VmHWM:") - before;
    // The paths have ten megabytes.
    assert!(taken <= 2 << 10, "{taken} KiB for {COUNT} paths");
}
