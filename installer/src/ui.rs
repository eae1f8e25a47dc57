// SPDX-License-Identifier: Apache-2.0
//! The installer's output to its user: data on stdout; messages, warnings and progress on stderr.
//!
//! No other module writes to either. A line of progress is shown for each step that takes longer than half a second, if
//! stderr is a terminal.

use std::sync::OnceLock;
use std::time::Instant;

use anyhow::Result;
use store::listener::{Listener, Progress, Silent};
use terminal::output::{self, Lines};
use terminal::progress::{Step, Total, bytes};

use crate::exit::Exit;

/// When this command began, if each of its steps is to be said.
static VERBOSE_SINCE: OnceLock<Instant> = OnceLock::new();

/// The program's stdout and stderr.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ui;

impl Ui {
    /// Checks whether data can be printed, as far as that is known in advance. Saves work whose result could not be
    /// delivered.
    ///
    /// # Errors
    /// If stdout can't be written to, or nobody reads it.
    pub(crate) fn check(self) -> Result<()> {
        output::check()
    }

    /// Prints data.
    ///
    /// # Errors
    /// If not all of it can be written.
    pub(crate) fn print(self, data: &[u8]) -> Result<()> {
        output::print(data)
    }

    /// Begins data that is printed line by line while work goes on. The first line that can't be written is reported
    /// at the end.
    pub(crate) fn lines(self) -> Lines {
        Lines::default()
    }

    /// Says something that is neither data nor a warning.
    pub(crate) fn tell(self, message: &str) {
        terminal::tell(message);
    }

    /// From now on, says each step in a line, with the time since now.
    pub(crate) fn be_verbose(self) {
        VERBOSE_SINCE.get_or_init(Instant::now);
    }

    /// Reports an error, with its hint.
    pub(crate) fn error(self, error: &anyhow::Error) {
        terminal::error(error);
    }

    /// Prints the help, or reports wrong usage.
    pub(crate) fn usage(self, error: &clap::Error) -> Exit {
        match output::usage(error) {
            output::Shown::Help => Exit::Done,
            output::Shown::Nothing => Exit::Failed,
            output::Shown::WrongUsage => Exit::WrongUsage,
        }
    }
}

impl Listener for Ui {
    fn warn(&self, warning: &str) {
        terminal::warn(warning);
    }

    fn step(&self, step: &str) {
        if let Some(since) = VERBOSE_SINCE.get() {
            self.tell(&format!("{:.3} s: {step}", since.elapsed().as_secs_f64()));
        }
    }

    fn begin(&self, step: &str, length: u64) -> Box<dyn Progress> {
        self.step(&format!("{step}, {}", bytes(length)));
        match Step::begin(step.to_owned(), Total::Bytes(length)) {
            Some(step) => Box::new(Shown(step)),
            None => Box::new(Silent),
        }
    }
}

/// A step whose progress is shown on the terminal.
#[derive(Debug)]
struct Shown(Step);

impl Progress for Shown {
    fn advance(&self, bytes: u64) {
        self.0.advance(bytes);
    }

    fn reach(&self, bytes: u64) {
        self.0.reach(bytes);
    }

    fn is_seen(&self) -> bool {
        true
    }
}
