// SPDX-License-Identifier: Apache-2.0
//! A bar for archives that take long, on a terminal; silent elsewhere. Reading is also where interruption is noticed.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::interrupt::Interrupt;

/// What is done sooner shows no bar.
const PATIENCE: Duration = Duration::from_millis(500);

/// How far the reading of all inputs is.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    since: Instant,
    interrupt: Interrupt,
}

/// An input that is being read.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    file: &'a File,
    progress: &'a Progress,
}

impl Progress {
    /// For inputs of `total` bytes together.
    pub(crate) fn new(total: u64, interrupt: Interrupt) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("preparing [{bar:30}] {bytes}/{total_bytes} {eta}");
        bar.set_style(style.expect("the template is valid").progress_chars("=> "));
        Self { bar, since: Instant::now(), interrupt }
    }

    /// Reads `file`.
    pub(crate) fn reading<'a>(&'a self, file: &'a File) -> Reading<'a> {
        Reading { file, progress: self }
    }

    /// Takes the bar away.
    pub(crate) fn done(&self) {
        self.bar.finish_and_clear();
    }

    fn advance(&self, bytes: usize) {
        if self.bar.is_hidden() && self.since.elapsed() > PATIENCE && io::stderr().is_terminal() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(bytes as u64);
    }
}

impl Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.progress.interrupt.check().map_err(io::Error::other)?;
        let count = self.file.read(buffer)?;
        self.progress.advance(count);
        Ok(count)
    }
}
