// SPDX-License-Identifier: Apache-2.0
//! Progress: steps that take long, one line each at the bottom of a terminal.
//!
//! The thread that reports progress draws the lines, ten times a second at most. A message that is written
//! meanwhile ([`crate::tell`]) stands above them. Elsewhere than on a terminal, nothing is drawn.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A step that takes less is not shown.
const PATIENCE: Duration = Duration::from_millis(500);
/// The time between two drawings.
const PAUSE: Duration = Duration::from_millis(100);
const BAR: usize = 30;
/// The width of a terminal that doesn't say how wide it is.
const WIDTH: usize = 80;

static BOARD: Mutex<Board> = Mutex::new(Board { steps: Vec::new(), next: 0, drawn: 0, at: None });

/// The unit of a step, and the amount that it will reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    /// Bytes.
    Bytes(u64),
    /// Items.
    Items(u64),
    /// The amount isn't known.
    Unknown,
}

/// A step in progress. Its line disappears when it is dropped.
#[derive(Debug)]
pub struct Step(u64);

impl Step {
    /// Begins a step. Of an unknown length, it is shown at once, since nothing more may be heard of it. `None` where
    /// stderr is no terminal.
    pub fn begin(message: String, total: Total) -> Option<Self> {
        if !io::stderr().is_terminal() {
            return None;
        }
        let mut board = board();
        let key = board.next;
        board.next += 1;
        board.steps.push(Line { key, message, total, done: 0, begun: Instant::now() });
        if total == Total::Unknown {
            board.draw();
        }
        Some(Self(key))
    }

    /// Notes that this much more is done.
    pub fn advance(&self, more: u64) {
        self.change(|done| done.saturating_add(more));
    }

    /// Notes that this much is done in all.
    pub fn reach(&self, done: u64) {
        self.change(|_| done);
    }

    fn change(&self, change: impl FnOnce(u64) -> u64) {
        let mut board = board();
        if let Some(line) = board.steps.iter_mut().find(|line| line.key == self.0) {
            line.done = change(line.done);
        }
        if board.at.is_none_or(|at| at.elapsed() >= PAUSE) {
            board.draw();
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let mut board = board();
        board.steps.retain(|line| line.key != self.0);
        if board.drawn > 0 {
            board.draw();
        }
    }
}

/// Writes to stderr, above the lines of the steps.
pub(crate) fn write_above(text: &str) {
    let mut board = board();
    let around = board.drawn > 0;
    let before = if around { board.erased() } else { String::new() };
    // A failure changes nothing.
    let _ = io::stderr().write_all((before + text).as_bytes());
    if around {
        board.draw();
    }
}

/// Formats a number of bytes for people.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let Some(power) = (bytes.checked_ilog2()).and_then(|log| usize::try_from(log / 10).ok()?.checked_sub(1))
    else {
        return format!("{bytes} B");
    };
    // In hundredths, without floating-point numbers.
    let unit = 1_u128 << (10 * (power + 1));
    let hundredths = (u128::from(bytes) * 100 + unit / 2) / unit;
    format!("{}.{:02} {}", hundredths / 100, hundredths % 100, UNITS[power])
}

#[derive(Debug)]
struct Board {
    steps: Vec<Line>,
    /// The key of the next step.
    next: u64,
    /// How many lines stand on the terminal.
    drawn: usize,
    /// When they were drawn.
    at: Option<Instant>,
}

#[derive(Debug)]
struct Line {
    key: u64,
    message: String,
    total: Total,
    done: u64,
    begun: Instant,
}

fn board() -> MutexGuard<'static, Board> {
    BOARD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    fn draw(&mut self) {
        let width = terminal_size::terminal_size_of(io::stderr()).map_or(WIDTH, |(width, _)| width.0.into());
        let mut text = self.erased();
        let is_long = |line: &&Line| line.total == Total::Unknown || line.begun.elapsed() >= PATIENCE;
        for line in self.steps.iter().filter(is_long) {
            // A line that fills the terminal's last column would become two.
            text.extend(line.text(line.begun.elapsed()).chars().take(width.saturating_sub(1)));
            text.push('\n');
            self.drawn += 1;
        }
        self.at = Some(Instant::now());
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Returns what removes the lines from the terminal.
    fn erased(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            // ECMA-48: cursor up, erase to the end of the page.
            drawn => format!("\x1b[{drawn}A\x1b[J"),
        }
    }
}

impl Line {
    fn text(&self, elapsed: Duration) -> String {
        let (total, shown): (u64, fn(u64) -> String) = match self.total {
            Total::Unknown => return self.message.clone(),
            Total::Bytes(total) => (total, bytes),
            Total::Items(total) => (total, |items| items.to_string()),
        };
        let filled = usize::try_from(u128::from(self.done) * BAR as u128 / u128::from(total.max(1)));
        let filled = filled.unwrap_or(BAR).min(BAR);
        let mut text = format!("{} [{:-<BAR$}] ", self.message, "#".repeat(filled));
        let _ = write!(text, "{}/{}", shown(self.done), shown(total));
        let left = u128::from(total.saturating_sub(self.done)) * elapsed.as_millis();
        if let Some(left) = left.checked_div(u128::from(self.done) * 1000).filter(|left| *left > 0) {
            let _ = write!(text, " {left}s");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_units_of_1024() {
        let shown = [0, 1023, 1024, 1536, 6_291_456, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.00 KiB", "1.50 KiB", "6.00 MiB", "16.00 EiB"]);
    }

    #[test]
    fn a_line_says_what_is_done_and_what_is_left() {
        let line =
            |done, total| Line { key: 0, message: "pulling 01ab".into(), total, done, begun: Instant::now() };
        let after = Duration::from_secs(4);
        let half = line(1 << 20, Total::Bytes(2 << 20)).text(after);
        assert_eq!(half, format!("pulling 01ab [{}{}] 1.00 MiB/2.00 MiB 4s", "#".repeat(15), "-".repeat(15)));
        let none = line(0, Total::Items(3)).text(after);
        assert_eq!(none, format!("pulling 01ab [{}] 0/3", "-".repeat(30)));
        let more = line(5, Total::Items(3)).text(after);
        assert_eq!(more, format!("pulling 01ab [{}] 5/3", "#".repeat(30)), "more than was said");
        assert_eq!(line(7, Total::Unknown).text(after), "pulling 01ab");
    }
}
