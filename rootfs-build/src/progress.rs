// SPDX-License-Identifier: Apache-2.0
//! Shows progress to a waiting person: a bar on a terminal, one line for each step elsewhere.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A step in progress. Its bar disappears when it is dropped.
pub(crate) struct Step {
    bar: ProgressBar,
}

impl Step {
    /// Begins a step of unknown length.
    pub(crate) fn waiting(message: impl Into<String>) -> Self {
        Self::begin(message.into(), ProgressBar::new_spinner(), "{spinner} {msg} ({elapsed})")
    }

    /// Begins a step of `length` items.
    pub(crate) fn counting(message: impl Into<String>, length: usize) -> Self {
        let bar = ProgressBar::new(length as u64);
        Self::begin(message.into(), bar, "{spinner} {msg} [{bar:30}] {pos}/{len}")
    }

    /// Begins a step of `length` bytes.
    pub(crate) fn bytes(message: impl Into<String>, length: u64) -> Self {
        let bar = ProgressBar::new(length);
        Self::begin(message.into(), bar, "{spinner} {msg} [{bar:30}] {bytes}/{total_bytes}")
    }

    fn begin(message: String, bar: ProgressBar, template: &str) -> Self {
        if !io::stderr().is_terminal() {
            terminal::tell(&message);
            return Self { bar: ProgressBar::hidden() };
        }
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(message);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar }
    }

    /// Reports that `done` items or bytes are done in total.
    pub(crate) fn at(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Reports one more item, or `more` bytes.
    pub(crate) fn advance(&self, more: u64) {
        self.bar.inc(more);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
