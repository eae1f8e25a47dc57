// SPDX-License-Identifier: Apache-2.0
//! Case 23 of the list of hostile input: memory does not grow with the number of entries. Alone in its program, since
//! it is the program's peak that is looked at.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

use std::fs::{self, File};
use std::io::{self, Read};

use image::ImagePolicy;
use store::extract::{Expected, Unpacker};

#[path = "hostile/writer.rs"]
mod writer;

const BLOCK: usize = 512;

/// An image whose rootfs has so many empty files, made while it is read.
struct Empty {
    next: u32,
    count: u32,
    buffer: Vec<u8>,
    start: usize,
}

impl Empty {
    fn new(count: u32) -> Self {
        let mut buffer = writer::Tar::image().end();
        buffer.truncate(buffer.len() - 2 * BLOCK);
        Self { next: 0, count, buffer, start: 0 }
    }

    fn refill(&mut self) {
        self.start = 0;
        self.buffer = match self.next {
            next if next < self.count => {
                let file = writer::Tar::default().file(&format!("rootfs/{next:08}"), b"");
                file.end()[..BLOCK].to_vec()
            }
            next if next == self.count => vec![0; 2 * BLOCK],
            _ => Vec::new(),
        };
        self.next += 1;
    }
}

impl Read for Empty {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.start == self.buffer.len() {
            self.refill();
        }
        let count = (&self.buffer[self.start..]).read(into)?;
        self.start += count;
        Ok(count)
    }
}

/// The most memory in KiB that this program had at once while it unpacked so many empty files (proc_pid_clear_refs(5),
/// proc_pid_status(5)).
fn peak(count: u32) -> u64 {
    // In memory, of which files are not this program's: a disk would be slow.
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let root = File::open(directory.path()).unwrap().into();
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let policy = ImagePolicy::default();
    Unpacker::default().unpack(Empty::new(count), Expected::Anything, root, std::io::sink(), policy).unwrap();
    assert_eq!(fs::read_dir(directory.path().join("rootfs")).unwrap().count(), count as usize);
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn case_23_memory_does_not_grow_with_entries() {
    // Few, but enough to go through every buffer.
    let (few, many) = (peak(12_000), peak(72_000));
    // Eighteen bytes for each entry would show.
    assert!(many <= few + 1024, "{few} KiB for 12,000 entries, {many} KiB for 72,000");
    assert!(many <= 32 << 10, "{many} KiB");
}
