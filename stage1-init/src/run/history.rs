// SPDX-License-Identifier: Apache-2.0
//! Writes down when the pod was started and how it ended, in the pod directory ([`pod::layout::HISTORY`]).
//!
//! `crates/pods/src/history.rs` reads it and describes the format. Each run has two lines: `started`, written here, and
//! `ended`. The second is written by this process, or by the reaper if this process was killed. An app can fill the disk
//! meanwhile, so the space for it is reserved first.
//!
//! Invariant: a pod runs and ends the same way whether or not its end can be written down.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::FileExt as _;
use std::time::{SystemTime, UNIX_EPOCH};

use pod::layout;
use rustix::fs::{Mode, OFlags, openat};

use crate::exchange::statuses::reserve_block;
use crate::failure::Failure;

/// The file begins anew once it is longer than this.
const LENGTH_MAX: u64 = 64 << 10;

/// The history of a pod, with the beginning of this run.
#[derive(Debug)]
pub(crate) struct History {
    file: File,
    /// The file's length with that beginning, and without an end.
    begun: u64,
}

impl History {
    /// Writes down that the pod is started. The pod directory is locked.
    pub(crate) fn begin(directory: impl AsFd) -> io::Result<Self> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = File::from(openat(directory, layout::HISTORY, flags | OFlags::CLOEXEC, mode)?);
        let mut length = file.metadata()?.len();
        if length > LENGTH_MAX {
            file.set_len(0)?;
            length = 0;
        }
        let mut last = [b'\n'];
        if let Some(at) = length.checked_sub(1) {
            file.read_exact_at(&mut last, at)?;
        }
        // A line that was cut off is ended first.
        let before = if last == [b'\n'] { "" } else { "\n" };
        reserve_block(&file, length)?;
        (&file).write_all(format!("{before}started {}\n", now()).as_bytes())?;
        let begun = file.metadata()?.len();
        Ok(Self { file, begun })
    }

    /// Writes down how the pod ended. What can't be written is lost.
    pub(crate) fn end(&self, how: &Result<u8, Failure>) {
        self.write(&match how {
            Ok(code) => format!("code {code}"),
            Err(failure) => format!("failure {}", failure.step as u8),
        });
    }

    /// Writes down that the pod's process was killed, if it has ended without writing anything.
    pub(crate) fn killed(&self) {
        if self.file.metadata().is_ok_and(|file| file.len() == self.begun) {
            self.write("killed");
        }
    }

    fn write(&self, how: &str) {
        let written = (&self.file).write_all(format!("ended {} {how}\n", now()).as_bytes());
        let _ = written.and_then(|()| self.file.sync_data());
    }

    /// Returns the descriptor that the reaper must keep open.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// Returns the seconds since 1970, with three decimals.
fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:03}", now.as_secs(), now.subsec_millis())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::failure::Step;

    /// Returns the file's lines without their times.
    fn lines(directory: &tempfile::TempDir) -> Vec<String> {
        let text = fs::read_to_string(directory.path().join(layout::HISTORY)).unwrap();
        let without_time = |line: &str| {
            let mut words: Vec<_> = line.split(' ').collect();
            if words.len() > 1 && words[1].contains('.') {
                words.remove(1);
            }
            words.join(" ")
        };
        text.lines().map(without_time).collect()
    }

    #[test]
    fn each_run_has_a_beginning_and_one_end() {
        let directory = tempfile::tempdir().unwrap();
        let begin = || History::begin(File::open(&directory).unwrap()).unwrap();
        let first = begin();
        first.end(&Ok(7));
        first.killed();
        let failure = Failure { step: Step::Exec, error: anyhow::anyhow!("failed") };
        begin().end(&Err(failure));
        begin().killed();
        begin();
        let expected =
            ["started", "ended code 7", "started", "ended failure 5", "started", "ended killed", "started"];
        assert_eq!(lines(&directory), expected);
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_spoil_the_next() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(layout::HISTORY), "started 1.000\nended 2.0").unwrap();
        History::begin(File::open(&directory).unwrap()).unwrap().end(&Ok(0));
        assert_eq!(lines(&directory), ["started", "ended", "started", "ended code 0"]);
    }

    #[test]
    fn a_long_history_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(layout::HISTORY), "started 1.000\n".repeat(5000)).unwrap();
        History::begin(File::open(&directory).unwrap()).unwrap();
        assert_eq!(lines(&directory), ["started"]);
    }
}
