// SPDX-License-Identifier: Apache-2.0
//! A log that is written: it is bounded, and what can't be written is counted.
//!
//! A log that has got too long is renamed to `NAME.1`, the one that had this name to `NAME.2`, and so on. Invariant: a
//! log has whole records alone. What a full file system has taken of records is cut off again.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use pod::logs::older;
use rustix::fs::{Mode, OFlags, fstat, ftruncate, openat, renameat, unlinkat};
use rustix::io::{Errno, write};

/// How long a log gets, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The longest file; `None` means any length.
    pub(super) size: Option<u64>,
    /// How many files there are at most, with the one that is written.
    pub(super) files: u32,
}

impl Bounds {
    /// Returns the length of the longest part of these records that fits into a file, of one record at least.
    fn part(&self, records: &[u8]) -> usize {
        let most = self.size.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        if records.len() <= most {
            return records.len();
        }
        let is_end = |byte: &u8| *byte == b'\n';
        let end = records[..most].iter().rposition(is_end).or_else(|| records.iter().position(is_end));
        end.map_or(records.len(), |end| end + 1)
    }
}

/// A log that is open.
#[derive(Debug)]
pub(super) struct LogFile {
    name: String,
    file: Option<OwnedFd>,
    size: u64,
    bounds: Bounds,
}

impl LogFile {
    /// Makes a log. Its file is opened at the first write.
    pub(super) fn new(name: String, bounds: Bounds) -> Self {
        Self { name, file: None, size: 0, bounds }
    }

    /// Writes whole records: all of them, or none, or as many as whole files took.
    pub(super) fn write(&mut self, directory: &File, records: &[u8]) -> io::Result<()> {
        let mut rest = records;
        while !rest.is_empty() {
            let (part, later) = rest.split_at(self.bounds.part(rest));
            self.write_part(directory, part)?;
            rest = later;
        }
        Ok(())
    }

    /// Writes whole records that fit into a file, all of them or none.
    fn write_part(&mut self, directory: &File, records: &[u8]) -> io::Result<()> {
        let is_full = |size: u64, most: u64| size > 0 && size + records.len() as u64 > most;
        if self.file.is_some() && self.bounds.size.is_some_and(|most| is_full(self.size, most)) {
            self.rotate(directory)?;
        }
        if self.file.is_none() {
            self.open(directory)?;
            if self.bounds.size.is_some_and(|most| is_full(self.size, most)) {
                self.rotate(directory)?;
                self.open(directory)?;
            }
        }
        let file = self.file.as_ref().ok_or(Errno::BADF)?;
        let mut rest = records;
        while !rest.is_empty() {
            match write(file, rest) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                Err(error) => {
                    ftruncate(file, self.size)?;
                    return Err(error.into());
                }
            }
        }
        self.size += records.len() as u64;
        Ok(())
    }

    fn open(&mut self, directory: &File) -> io::Result<()> {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(directory, &self.name, flags, Mode::RUSR | Mode::WUSR)?;
        self.size = u64::try_from(fstat(&file)?.st_size).unwrap_or_default();
        self.file = Some(file);
        Ok(())
    }

    fn rotate(&mut self, directory: &File) -> io::Result<()> {
        self.file = None;
        let ignore_missing = |done: Result<(), Errno>| match done {
            Err(Errno::NOENT) => Ok(()),
            done => done,
        };
        if self.bounds.files < 2 {
            return Ok(ignore_missing(unlinkat(directory, &self.name, rustix::fs::AtFlags::empty()))?);
        }
        for age in (0..self.bounds.files - 1).rev() {
            let (from, to) = (older(&self.name, age), older(&self.name, age + 1));
            ignore_missing(renameat(directory, &from, directory, &to))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Short lines get several times as long by what is before each.
    #[test]
    fn what_is_too_long_for_a_file_goes_to_several() {
        let outer = tempfile::tempdir().unwrap();
        let directory = File::open(outer.path()).unwrap();
        let mut log = LogFile::new("a.log".into(), Bounds { size: Some(10), files: 4 });
        log.write(&directory, b"111\n222\n333\n444444444444\n55\n").unwrap();
        let read = |name: &str| fs::read_to_string(outer.path().join(name)).ok();
        let read = ["a.log", "a.log.1", "a.log.2", "a.log.3"].map(|name| read(name).unwrap());
        assert_eq!(read, ["55\n", "444444444444\n", "333\n", "111\n222\n"]);
    }

    #[test]
    fn a_log_that_is_too_long_is_moved() {
        let outer = tempfile::tempdir().unwrap();
        let directory = File::open(outer.path()).unwrap();
        let mut log = LogFile::new("a.log".into(), Bounds { size: Some(10), files: 3 });
        for text in ["1111111\n", "2222222\n", "3333333\n", "44\n", "5555555\n"] {
            log.write(&directory, text.as_bytes()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(outer.path().join(name)).ok();
        assert_eq!(read("a.log").unwrap(), "5555555\n");
        assert_eq!(read("a.log.1").unwrap(), "44\n");
        assert_eq!(read("a.log.2").unwrap(), "3333333\n");
        assert_eq!(read("a.log.3"), None);
        // The next run of the pod goes on.
        let mut log = LogFile::new("a.log".into(), Bounds { size: Some(10), files: 3 });
        log.write(&directory, b"66666\n").unwrap();
        assert_eq!(read("a.log.1").unwrap(), "5555555\n");
        let mut log = LogFile::new("a.log".into(), Bounds { size: None, files: 3 });
        log.write(&directory, &[b'7'; 100]).unwrap();
        assert_eq!(read("a.log").unwrap().len(), 106, "without a bound, it stays");
        let mut only = LogFile::new("a.log".into(), Bounds { size: Some(1), files: 1 });
        only.write(&directory, b"88\n").unwrap();
        assert_eq!(read("a.log").unwrap(), "88\n");
    }
}
