// SPDX-License-Identifier: Apache-2.0
//! The terminal: warnings, and a progress bar for each step that takes longer than half a second. Without a terminal
//! there are no bars.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use store::listener::{Listener, Progress, Silent};

const PATIENCE: Duration = Duration::from_millis(500);
const TEMPLATE: &str = "{msg} [{bar:30}] {bytes}/{total_bytes} {eta}";

/// The program's stderr.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ui;

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
