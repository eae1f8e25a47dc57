// SPDX-License-Identifier: Apache-2.0
//! What a person sees while waiting: a bar on a terminal, once it takes half a second; nothing elsewhere.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const PATIENCE: Duration = Duration::from_millis(500);
const TEMPLATE: &str = "{msg} [{bar:30}] {bytes}/{total_bytes} {eta}";

/// A step under way; its bar vanishes with it. The default is one that nobody sees.
#[derive(Debug, Default)]
pub(crate) struct Progress(Option<Bar>);

#[derive(Debug)]
struct Bar {
    bar: ProgressBar,
    begun: Instant,
}

impl Progress {
    /// Begins a step of `length` bytes.
    pub(crate) fn begin(message: &str, length: u64) -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        bar.set_message(message.to_owned());
        Self(Some(Bar { bar, begun: Instant::now() }))
    }

    /// `bytes` more are done.
    pub(crate) fn advance(&self, bytes: u64) {
        if let Some(bar) = self.shown() {
            bar.inc(bytes);
        }
    }

    /// `bytes` are done in all.
    pub(crate) fn reach(&self, bytes: u64) {
        if let Some(bar) = self.shown() {
            bar.set_position(bytes);
        }
    }

    /// Whether there is somebody who sees it.
    pub(crate) fn is_seen(&self) -> bool {
        self.0.is_some()
    }

    fn shown(&self) -> Option<&ProgressBar> {
        let Bar { bar, begun } = self.0.as_ref()?;
        if bar.is_hidden() && begun.elapsed() >= PATIENCE {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        Some(bar)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
