// SPDX-License-Identifier: Apache-2.0
//! A log that is written: it is bounded, and what can't be written is counted.
//!
//! A log that has got too long is renamed to `NAME.1`, the one that had this name to `NAME.2`, and so on. Invariant: a
//! log has only whole records. If a full file system takes a part of some, that part is cut off again.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use pod::logs::older;
use rustix::fs::{AtFlags, Mode, OFlags, fstat, ftruncate, openat, renameat, statat, unlinkat};
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

/// How many bytes of some records are in the log. A process that continues another's work begins there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// How many bytes are in the log.
    pub(super) done: u64,
    /// How long the file was before the next ones were written to it, if that has begun.
    pub(super) size: Option<u64>,
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

    /// Writes whole records: all of them, or none, or as many as whole files took. Begins where `progress` says, and tells
    /// `note` before and after each part.
    pub(super) fn write(
        &mut self,
        directory: &File,
        records: &[u8],
        progress: Progress,
        note: &mut impl FnMut(Progress) -> io::Result<()>,
    ) -> io::Result<()> {
        if let Some(size) = progress.size {
            self.cut(directory, size)?;
        }
        let mut done = progress.done;
        let mut rest =
            &records[usize::try_from(done).map_or(records.len(), |done| done.min(records.len()))..];
        while !rest.is_empty() {
            let (part, later) = rest.split_at(self.bounds.part(rest));
            self.write_part(directory, part, &mut |size| note(Progress { done, size: Some(size) }))?;
            done += part.len() as u64;
            note(Progress { done, size: None })?;
            rest = later;
        }
        Ok(())
    }

    /// Cuts off what a killed process has written after the file had this length.
    fn cut(&mut self, directory: &File, size: u64) -> io::Result<()> {
        self.open(directory)?;
        if self.size > size {
            ftruncate(self.file.as_ref().ok_or(Errno::BADF)?, size)?;
            self.size = size;
        }
        Ok(())
    }

    /// Writes whole records that fit into a file, all of them or none. Tells `begins` how long the file is.
    fn write_part(
        &mut self,
        directory: &File,
        records: &[u8],
        begins: &mut impl FnMut(u64) -> io::Result<()>,
    ) -> io::Result<()> {
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
        begins(self.size)?;
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
            return Ok(ignore_missing(unlinkat(directory, &self.name, AtFlags::empty()))?);
        }
        // A process that was killed while it did this has left a gap, up to which the parts are still to be moved.
        let last = self.bounds.files - 1;
        let is_there =
            |age: &u32| statat(directory, older(&self.name, *age), AtFlags::SYMLINK_NOFOLLOW).is_ok();
        let gap = (0..last).find(|age| !is_there(age)).unwrap_or(last);
        for age in (0..gap).rev() {
            let (from, to) = (older(&self.name, age), older(&self.name, age + 1));
            ignore_missing(renameat(directory, &from, directory, &to))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    fn write(log: &mut LogFile, directory: &File, records: &[u8]) -> io::Result<()> {
        log.write(directory, records, Progress::default(), &mut |_| Ok(()))
    }

    /// At whatever point a process is killed, another one continues, and each record is there once.
    #[test]
    fn what_was_begun_is_gone_on_with() {
        let records = b"111\n222\n333\n444444444444\n55\n";
        for killed_at in 0.. {
            let outer = tempfile::tempdir().unwrap();
            let directory = File::open(outer.path()).unwrap();
            let bounds = Bounds { size: Some(10), files: 4 };
            let (mut noted, mut left) = (Progress::default(), killed_at);
            let mut killed = |progress| {
                if left == 0 {
                    return Err(Errno::INTR.into());
                }
                (noted, left) = (progress, left - 1);
                Ok(())
            };
            let mut first = LogFile::new("a.log".into(), bounds);
            let done = first.write(&directory, records, Progress::default(), &mut killed);
            drop(first);
            if let Some(size) = noted.size {
                // It may have written some of the part.
                let mut file = File::options().append(true).open(outer.path().join("a.log")).unwrap();
                if file.metadata().unwrap().len() == size {
                    file.write_all(b"1").unwrap();
                }
            }
            let mut next = LogFile::new("a.log".into(), bounds);
            next.write(&directory, records, noted, &mut |_| Ok(())).unwrap();
            let read = |name: &str| fs::read_to_string(outer.path().join(name)).unwrap();
            let all = ["a.log.3", "a.log.2", "a.log.1", "a.log"].map(read).concat();
            assert_eq!(all.as_bytes(), records, "killed after {killed_at} notes, at {noted:?}");
            if done.is_ok() {
                assert_eq!(killed_at, 8, "two for each part");
                break;
            }
        }
    }

    /// Short lines get several times as long by what is before each.
    #[test]
    fn what_is_too_long_for_a_file_goes_to_several() {
        let outer = tempfile::tempdir().unwrap();
        let directory = File::open(outer.path()).unwrap();
        let mut log = LogFile::new("a.log".into(), Bounds { size: Some(10), files: 4 });
        write(&mut log, &directory, b"111\n222\n333\n444444444444\n55\n").unwrap();
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
            write(&mut log, &directory, text.as_bytes()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(outer.path().join(name)).ok();
        assert_eq!(read("a.log").unwrap(), "5555555\n");
        assert_eq!(read("a.log.1").unwrap(), "44\n");
        assert_eq!(read("a.log.2").unwrap(), "3333333\n");
        assert_eq!(read("a.log.3"), None);
        // The next run of the pod goes on.
        let mut log = LogFile::new("a.log".into(), Bounds { size: Some(10), files: 3 });
        write(&mut log, &directory, b"66666\n").unwrap();
        assert_eq!(read("a.log.1").unwrap(), "5555555\n");
        let mut log = LogFile::new("a.log".into(), Bounds { size: None, files: 3 });
        write(&mut log, &directory, &[b'7'; 100]).unwrap();
        assert_eq!(read("a.log").unwrap().len(), 106, "without a bound, it stays");
        // A process was killed while it moved them.
        fs::remove_file(outer.path().join("a.log.1")).unwrap();
        let before = read("a.log.2");
        let mut log = LogFile::new("a.log".into(), Bounds { size: Some(10), files: 3 });
        write(&mut log, &directory, b"999\n").unwrap();
        assert_eq!(read("a.log.1").unwrap().len(), 106);
        assert_eq!(read("a.log.2"), before, "nothing is moved over what is older");
        let mut only = LogFile::new("a.log".into(), Bounds { size: Some(1), files: 1 });
        write(&mut only, &directory, b"88\n").unwrap();
        assert_eq!(read("a.log").unwrap(), "88\n");
    }
}
