// SPDX-License-Identifier: Apache-2.0
//! Reads logs: whole lines of one or several apps, in the order of their times, while they are being written and moved.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result};
use pod::logs::{LOST, NOT_ENDED, older};
use rustix::fs::FlockOperation;

use super::record::{self, Stream};
use super::start::open;
use crate::directory::Pod;

/// The longest line that is put together; longer ones come in parts.
const LINE_MAX: usize = 1 << 20;
/// More than the number of older parts of a log.
const AGES: u32 = 1000;

/// The part of a log that is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The log's file, as [`pod::logs::file`] says.
    pub file: String,
    /// The name that its lines are shown with.
    pub name: String,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was written, as RFC 3339 has it.
    pub time: String,
    /// The name that its line is shown with.
    pub name: String,
    /// The stream that it was written to.
    pub stream: Stream,
    /// The text, without a newline.
    pub text: Vec<u8>,
    /// Whether a newline follows.
    pub is_whole: bool,
}

/// Logs that are being read.
#[derive(Debug)]
pub struct Reader<'p> {
    pod: &'p Pod,
    logs: Vec<Log>,
}

impl<'p> Reader<'p> {
    /// Opens logs, at their beginnings.
    ///
    /// # Errors
    /// If one can't be opened. One that doesn't exist is empty.
    pub fn open(pod: &'p Pod, wanted: Vec<Wanted>) -> Result<Self> {
        let logs = wanted.into_iter().map(|wanted| Log::open(pod, wanted)).collect::<Result<_>>()?;
        Ok(Self { pod, logs })
    }

    /// Returns the next line, the oldest one of all logs; `None` if there is none at the moment.
    ///
    /// # Errors
    /// If a log can't be read.
    pub fn next_line(&mut self) -> Result<Option<Line>> {
        for log in &mut self.logs {
            log.fill(self.pod)?;
        }
        let ready = self.logs.iter_mut().filter(|log| log.next.is_some());
        let oldest = ready.min_by(|a, b| {
            let time = |log: &Log| log.next.as_ref().map(|line| line.time.clone());
            time(a).cmp(&time(b))
        });
        Ok(oldest.and_then(|log| log.next.take()))
    }

    /// Returns the beginnings of lines that will never be completed.
    pub fn rest(&mut self) -> Vec<Line> {
        let mut all: Vec<_> = self.logs.iter_mut().flat_map(|log| std::mem::take(&mut log.parts)).collect();
        all.sort_by(|(_, a), (_, b)| a.time.cmp(&b.time));
        all.into_iter().map(|(_, line)| line).collect()
    }

    /// Tells whether the log writer of the pod's last run is at work.
    ///
    /// # Errors
    /// If that can't be looked up.
    pub fn is_written(&self) -> Result<bool> {
        let Some(note) = open(self.pod, LOST)? else { return Ok(false) };
        match rustix::fs::flock(&note, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            done => done.map(|()| false).context("cannot look at the log writer"),
        }
    }

    /// Returns what could not be logged, a line for each log.
    ///
    /// # Errors
    /// If that can't be read.
    pub fn lost(&self) -> Result<Vec<String>> {
        // Looked up first, since a log writer that ends removes its line.
        let is_written = self.is_written()?;
        let Some(note) = open(self.pod, LOST)? else { return Ok(Vec::new()) };
        let said = |line: std::io::Result<String>| {
            let line = line?;
            if NOT_ENDED.strip_suffix('\n') == Some(&line) {
                let what = "the log writer was killed: what apps wrote after that is not there";
                return Ok((!is_written).then(|| what.to_owned()));
            }
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().unwrap_or_default();
            Ok(Some(format!("{}: {} bytes are not there: {}", word(), word(), word())))
        };
        BufReader::new(note).lines().map(said).filter_map(Result::transpose).collect()
    }
}

/// A log that is being read.
#[derive(Debug)]
struct Log {
    wanted: Wanted,
    file: Option<BufReader<File>>,
    /// A record that is not complete.
    record: Vec<u8>,
    /// Parts of lines, by stream.
    parts: BTreeMap<&'static str, Line>,
    next: Option<Line>,
}

impl Log {
    fn open(pod: &Pod, wanted: Wanted) -> Result<Self> {
        let mut log = Self { wanted, file: None, record: Vec::new(), parts: BTreeMap::new(), next: None };
        log.file = log.oldest(pod)?;
        Ok(log)
    }

    /// Opens the oldest part.
    fn oldest(&self, pod: &Pod) -> Result<Option<BufReader<File>>> {
        let mut found = None;
        for age in 0..AGES {
            match open(pod, &older(&self.wanted.file, age))? {
                Some(file) => found = Some(BufReader::new(file)),
                None if age > 0 => break,
                None => {}
            }
        }
        Ok(found)
    }

    /// Opens the part after the one that is read; `None` if that is the newest.
    fn newer(&self, pod: &Pod, of: &File) -> Result<Option<BufReader<File>>> {
        let here = of.metadata()?.ino();
        let mut before = None;
        for age in 0..AGES {
            let Some(file) = open(pod, &older(&self.wanted.file, age))? else {
                if age == 0 {
                    // It is being moved.
                    return Ok(None);
                }
                break;
            };
            if file.metadata()?.ino() == here {
                return Ok(before.map(BufReader::new));
            }
            before = Some(file);
        }
        // It is gone: what follows is the oldest part.
        Ok(before.map(BufReader::new))
    }

    /// Reads up to the end of the next line, if none is ready.
    fn fill(&mut self, pod: &Pod) -> Result<()> {
        while self.next.is_none() {
            if self.file.is_none() {
                self.file = self.oldest(pod)?;
            }
            let Some(file) = &mut self.file else { return Ok(()) };
            let count = file.read_until(b'\n', &mut self.record).context("cannot read a log")?;
            if self.record.ends_with(b"\n") {
                let whole = std::mem::take(&mut self.record);
                self.add(&whole[..whole.len() - 1]);
                continue;
            }
            if count > 0 {
                continue;
            }
            // What was written before the file was moved is looked at again once.
            let newer = {
                let of = file.get_ref().try_clone()?;
                self.newer(pod, &of)?
            };
            let Some(newer) = newer else { return Ok(()) };
            let Some(file) = &mut self.file else { return Ok(()) };
            if file.fill_buf().context("cannot read a log")?.is_empty() {
                self.record.clear();
                self.file = Some(newer);
            }
        }
        Ok(())
    }

    /// Adds a record. One that is damaged is skipped.
    fn add(&mut self, bytes: &[u8]) {
        let Some(read) = record::read(bytes) else { return };
        let key = if read.stream == Stream::Out { "stdout" } else { "stderr" };
        let mut line = self.parts.remove(key).unwrap_or_else(|| Line {
            time: read.time.to_owned(),
            name: self.wanted.name.clone(),
            stream: read.stream,
            text: Vec::new(),
            is_whole: false,
        });
        line.text.extend_from_slice(read.text);
        line.is_whole = read.is_end;
        if read.is_end || line.text.len() >= LINE_MAX {
            self.next = Some(line);
        } else {
            self.parts.insert(key, line);
        }
    }
}
