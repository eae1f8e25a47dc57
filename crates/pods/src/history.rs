// SPDX-License-Identifier: Apache-2.0
//! A pod's history: when it was started and how it ended, each time. A file `history` in the pod directory.
//!
//! ```text
//! started 1795932077.123
//! ended 1795932090.501 code 7
//! started 1795932101.000
//! ended 1795932107.250 failure 5
//! started 1795932110.874
//! found 1795939310.002
//! ```
//!
//! A line each, ended by a newline; times are seconds since 1970 with three decimals. `/init` writes `started` once it
//! has locked the pod directory, and `ended` when it knows how the pod ended: with the pod's code, or with the number
//! of the step that failed (`docs/exit-codes.md`). The reaper writes `ended TIME killed` where `/init` was killed. If
//! both were killed, or the power failed, no process writes. Then the first `gc` that finds the pod ended writes
//! `found`.
//!
//! Where space for `ended` comes from: `/init` reserves it at the start. A line that can't be understood, such as one
//! that was cut off by a power failure, is skipped. Invariant: a run without an end says nothing about the pod's state;
//! that is what locks are for.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use pod::layout;
use rustix::fs::{Mode, OFlags, openat};

use crate::directory::Pod;

/// `/init` begins anew before the file gets longer than this.
const HISTORY_MAX: u64 = 1 << 20;

/// A moment in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

/// How a pod ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this code of its own.
    Code(u8),
    /// At this step of the start, or without a code of its own (step 5).
    Failure(u8),
    /// Its process was killed.
    Killed,
}

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The pod ended at this time.
    At(Moment, Ending),
    /// No process has recorded its end; at this time it was found ended.
    Found(Moment),
}

/// One run of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// When it was started; `None` if that was not recorded.
    pub started: Option<Moment>,
    /// How and when it ended; `None` if it has not ended, or if that was not recorded.
    pub end: Option<End>,
}

impl Run {
    /// Returns when it ended, if that is known.
    pub fn ended(&self) -> Option<Moment> {
        match self.end {
            Some(End::At(when, _)) => Some(when),
            _ => None,
        }
    }

    /// Returns how it ended, if that is known.
    pub fn ending(&self) -> Option<Ending> {
        match self.end {
            Some(End::At(_, ending)) => Some(ending),
            _ => None,
        }
    }

    /// Returns the pod's own code, if it has come to one.
    pub fn code(&self) -> Option<u8> {
        match self.ending() {
            Some(Ending::Code(code)) => Some(code),
            _ => None,
        }
    }
}

impl Moment {
    /// Returns the current time.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// Returns the moment this many milliseconds after 1970 began.
    pub const fn from_milliseconds(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// Returns a file's time of modification.
    pub(crate) fn of_change(stat: &rustix::fs::Stat) -> Self {
        let seconds = u64::try_from(stat.st_mtime).unwrap_or_default();
        Self(seconds * 1000 + stat.st_mtime_nsec / 1_000_000)
    }

    /// Returns the milliseconds since 1970.
    pub fn milliseconds(self) -> u64 {
        self.0
    }

    /// Returns how long ago that was; nothing if it is to come.
    pub fn age(self) -> Duration {
        Duration::from_millis(Self::now().0.saturating_sub(self.0))
    }

    fn parse(text: &str) -> Option<Self> {
        let (seconds, milliseconds) = text.split_once('.')?;
        let milliseconds: u64 = (milliseconds.len() == 3).then(|| milliseconds.parse().ok()).flatten()?;
        Some(Self(seconds.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(milliseconds)?))
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(since.as_millis().try_into().unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// Reads a pod's history, oldest first.
pub(crate) fn read(pod: &Pod) -> Result<Vec<Run>> {
    let text = pod.read(layout::HISTORY, HISTORY_MAX)?.map(|(text, _)| text).unwrap_or_default();
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// Opens a pod's history, if there is one, for [`read_all`]. It can be read when the pod has been removed, too.
pub(crate) fn open(pod: &Pod) -> Result<Option<File>> {
    Ok(pod.open_file(layout::HISTORY, OFlags::RDONLY)?.map(File::from))
}

/// Reads an opened history, oldest first.
pub(crate) fn read_all(history: File) -> Result<Vec<Run>> {
    let mut text = Vec::new();
    history.take(HISTORY_MAX).read_to_end(&mut text).context("cannot read the history")?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// Notes that the pod was found ended, and that no process has recorded its end. The caller has the pod locked.
pub(crate) fn found(pod: &Pod, when: Moment) -> Result<()> {
    append(pod, &format!("found {when}"))
}

/// Notes that the pod's process was killed. The caller has the pod locked.
pub(crate) fn killed(pod: &Pod, when: Moment) -> Result<()> {
    append(pod, &format!("ended {when} killed"))
}

fn append(pod: &Pod, line: &str) -> Result<()> {
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let write = || -> Result<()> {
        let file = openat(&pod.directory, layout::HISTORY, flags, Mode::RUSR | Mode::WUSR)?;
        // A line that was cut off is ended first.
        Ok(File::from(file).write_all(format!("\n{line}\n").as_bytes())?)
    };
    write().with_context(|| format!("cannot write the history of pod {}", pod.id()))
}

fn parse(text: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    // What stands behind the last newline is being written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in whole.lines() {
        let words: Vec<_> = line.split(' ').collect();
        match event(&words) {
            Some(Event::Started(when)) => runs.push(Run { started: Some(when), end: None }),
            Some(Event::Ended(end)) => match runs.last_mut() {
                // The first end counts: `/init` and the reaper may both have written.
                Some(Run { end: Some(_), started: Some(_) }) => {}
                Some(run) => run.end = Some(end),
                None => runs.push(Run { started: None, end: Some(end) }),
            },
            None => {}
        }
    }
    runs
}

enum Event {
    Started(Moment),
    Ended(End),
}

fn event(words: &[&str]) -> Option<Event> {
    let (what, rest) = words.split_first()?;
    let (when, how) = rest.split_first()?;
    let when = Moment::parse(when)?;
    let ended = |ending| Some(Event::Ended(End::At(when, ending)));
    match (*what, how) {
        ("started", []) => Some(Event::Started(when)),
        ("ended", ["code", code]) => ended(Ending::Code(code.parse().ok()?)),
        ("ended", ["failure", step]) => ended(Ending::Failure(step.parse().ok()?)),
        ("ended", ["killed"]) => ended(Ending::Killed),
        ("found", []) => Some(Event::Ended(End::Found(when))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Moment {
        Moment::from_milliseconds(milliseconds)
    }

    #[test]
    fn runs_are_read_whatever_was_cut_off() {
        let text = "started 1.000\nended 2.500 code 7\nended 3.000 killed\nstarted 4.000\nended 5.000 failure 3\n\
                    started 6.000\nended 7.0\nstarted 8.001\n\nended 9.000 killed\nstarted 10.000\nended 11.000 co";
        let run = |started, end: Option<(u64, Ending)>| Run {
            started: Some(at(started)),
            end: end.map(|(when, ending)| End::At(at(when), ending)),
        };
        let expected = [
            run(1000, Some((2500, Ending::Code(7)))),
            run(4000, Some((5000, Ending::Failure(3)))),
            run(6000, None),
            run(8001, Some((9000, Ending::Killed))),
            run(10_000, None),
        ];
        assert_eq!(parse(text), expected);
        assert_eq!(parse(""), []);
        assert_eq!(parse("found 5.000\n"), [Run { started: None, end: Some(End::Found(at(5000))) }]);
    }

    #[test]
    fn times_are_seconds_with_three_decimals() {
        assert_eq!(at(1_795_932_077_023).to_string(), "1795932077.023");
        assert_eq!(Moment::parse("1795932077.023"), Some(at(1_795_932_077_023)));
        for bad in ["", "1", "1.", "1.5", "1.0005", "-1.000", "x.000", "99999999999999999999.000"] {
            assert_eq!(Moment::parse(bad), None, "{bad}");
        }
    }
}
