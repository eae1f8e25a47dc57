// SPDX-License-Identifier: Apache-2.0
//! When each step of a start and of an end was done, for `/init --timing`.
//!
//! `/init` keeps its own marks. The processes in the pod add theirs to a file of the outcome, a line each: the reading
//! of CLOCK_MONOTONIC, which a pod has in common with its host, in nanoseconds, and what was done by then. A program is
//! told to do that by the argument [`crate::names::TIMED`], or by its launch file. Otherwise it doesn't look for the
//! file.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};

use rustix::io::fcntl_dupfd_cloexec;
use sys::clock::monotonic;

use crate::exchange::outcome::{OURS, PODS};

/// The file that a process in the pod, or the one that becomes nspawn, adds its marks to; none if they are not wanted.
#[derive(Debug)]
pub(crate) struct Marks(Option<File>);

impl Marks {
    /// Opens the file in the pod, if marks are wanted. The descriptor's number is `least` or more.
    pub(crate) fn of_pod(wanted: bool, least: i32) -> Self {
        let open = || Some(fcntl_dupfd_cloexec(PODS.marks().ok()?, least).ok()?.into());
        Self(wanted.then(open).flatten())
    }

    /// Adds a mark: this was done by now.
    pub(crate) fn add(&self, what: &str) {
        self.add_of("", what);
    }

    /// Adds a mark of a service's.
    pub(crate) fn add_of(&self, service: &str, what: &str) {
        // One call, to a file opened for appending: marks of several processes don't mix. One that can't be written is left out.
        let write = |mut file: &File| file.write_all(format!("{} {service}{what}\n", now()).as_bytes());
        let _ = self.0.as_ref().map(write);
    }
}

/// The marks of `/init`, if they are wanted.
#[derive(Debug)]
pub(crate) struct Timing(Option<Kept>);

#[derive(Debug)]
struct Kept {
    begun: u64,
    marks: RefCell<Vec<(u64, String)>>,
    /// Whether the pod's processes have a file for theirs.
    has_file: Cell<bool>,
}

impl Timing {
    /// Begins with the first step, if marks are wanted.
    pub(crate) fn begin(wanted: bool) -> Self {
        Self(wanted.then(|| Kept { begun: now(), marks: RefCell::default(), has_file: Cell::default() }))
    }

    /// Adds a mark: this was done by now.
    pub(crate) fn mark(&self, what: &'static str) {
        let Some(kept) = &self.0 else { return };
        kept.marks.borrow_mut().push((now(), what.into()));
    }

    /// Makes the file for the pod's processes, whose root is the host's user `root`.
    pub(crate) fn share(&self, root: u32) -> io::Result<()> {
        let Some(kept) = &self.0 else { return Ok(()) };
        OURS.make_marks(root)?;
        kept.has_file.set(true);
        Ok(())
    }

    /// Opens that file in the process that becomes nspawn.
    pub(crate) fn shared(&self) -> Marks {
        Marks(self.0.as_ref().and_then(|_| OURS.marks().ok()))
    }

    /// Returns all marks as a table.
    pub(crate) fn table(&self) -> Option<String> {
        let kept = self.0.as_ref()?;
        let mut marks = kept.marks.take();
        if kept.has_file.get()
            && let Ok(text) = OURS.read_marks()
        {
            marks.extend(text.lines().filter_map(parse));
        }
        Some(table(kept.begun, marks))
    }
}

/// Reads the clock, in nanoseconds.
fn now() -> u64 {
    u64::try_from(monotonic().as_nanos()).unwrap_or_default()
}

/// Reads a line of the file. The pod's root may have written anything.
fn parse(line: &str) -> Option<(u64, String)> {
    let (time, what) = line.split_once(' ')?;
    Some((time.parse().ok()?, pod::text::one_line(what)))
}

/// Shows marks in the order of their times, each with the time since the one before and since the beginning.
fn table(begun: u64, mut marks: Vec<(u64, String)>) -> String {
    marks.sort_by_key(|(time, _)| *time);
    let mut text = String::from("timing: ms taken, ms since the beginning, what was done by then\n");
    let micros = |from: u64, to: u64| to.saturating_sub(from) / 1000;
    let shown = |micros: u64| format!("{:5}.{:03}", micros / 1000, micros % 1000);
    let mut before = 0;
    for (time, what) in marks {
        let at = micros(begun, time);
        // A difference of what is shown, so that the column adds up.
        let _ = writeln!(text, "timing: {} {} {what}", shown(at - before), shown(at));
        before = at;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_in_order_and_adds_up() {
        let marks = [(5_000_900, "b"), (2_000_999, "a"), (900, "early"), (1_234_567_890, "c")];
        let marks = marks.map(|(time, what)| (time, what.to_owned())).into();
        let expected = "\
timing: ms taken, ms since the beginning, what was done by then
timing:     0.000     0.000 early
timing:     1.999     1.999 a
timing:     3.000     4.999 b
timing:  1229.567  1234.566 c
";
        assert_eq!(table(1000, marks), expected);
    }

    #[test]
    fn lines_that_are_none_are_left_out() {
        assert_eq!(parse("7 app-web: program"), Some((7, "app-web: program".into())));
        assert_eq!(parse("7 a\u{1b}b"), Some((7, "a\\u{1b}b".into())));
        for bad in ["", "7", "-7 a", "x y"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
