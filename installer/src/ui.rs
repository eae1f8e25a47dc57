// SPDX-License-Identifier: Apache-2.0
//! What the installer says to its user: data on stdout; messages, warnings and progress on stderr.
//!
//! No other module writes to either. A progress bar is shown for each step that takes longer than half a second, if
//! stderr is a terminal.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use store::listener::{Listener, Progress, Silent};
use terminal::output::{self, Lines, Shown};

use crate::exit::Exit;

const PATIENCE: Duration = Duration::from_millis(500);
const TEMPLATE: &str = "{msg} [{bar:30}] {bytes}/{total_bytes} {eta}";

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

    /// Reports an error, with its hint.
    pub(crate) fn error(self, error: &anyhow::Error) {
        terminal::error(error);
    }

    /// Prints the help, or reports wrong usage.
    pub(crate) fn usage(self, error: &clap::Error) -> Exit {
        match output::usage(error) {
            Shown::Help => Exit::Done,
            Shown::Nothing => Exit::Failed,
            Shown::WrongUsage => Exit::WrongUsage,
        }
    }
}

impl Listener for Ui {
    fn warn(&self, warning: &str) {
        terminal::warn(warning);
    }

    fn begin(&self, step: &str, length: u64) -> Box<dyn Progress> {
        if !io::stderr().is_terminal() {
            return Box::new(Silent);
        }
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        bar.set_message(step.to_owned());
        Box::new(Bar { bar, begun: Instant::now() })
    }
}

/// A progress bar on the terminal. It disappears when it is dropped.
#[derive(Debug)]
struct Bar {
    bar: ProgressBar,
    begun: Instant,
}

impl Bar {
    fn shown(&self) -> &ProgressBar {
        if self.bar.is_hidden() && self.begun.elapsed() >= PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        &self.bar
    }
}

impl Progress for Bar {
    fn advance(&self, bytes: u64) {
        self.shown().inc(bytes);
    }

    fn reach(&self, bytes: u64) {
        self.shown().set_position(bytes);
    }

    fn is_seen(&self) -> bool {
        true
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
