// SPDX-License-Identifier: Apache-2.0
//! Errors on their way to a person: the way out stands in a line of its own.
//!
//! Invariant: nothing that comes from a package, a file name or apt reaches a terminal unescaped.

use std::error::Error;
use std::fmt;

use crate::interrupt;

/// An error together with what a person can do about it.
struct Hinted {
    error: anyhow::Error,
    hint: String,
}

impl fmt::Debug for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}\nhint: {}", self.error, self.hint)
    }
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

// No `source`: the display holds the whole chain already.
impl Error for Hinted {}

/// Adds the way out to an error.
pub(crate) trait Hint<T> {
    /// On an error, `hint` is printed after it.
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Hint<T> for Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| Hinted { error: error.into(), hint: hint.into() }.into())
    }
}

/// The lines that tell a person about `error`.
pub(crate) fn lines(error: &anyhow::Error) -> String {
    // Whatever failed did so because of that.
    if let Err(interrupted) = interrupt::check() {
        return format!("error: {interrupted}");
    }
    let mut lines = format!("error: {}", pod::text::one_line(&format!("{error:#}")));
    let hint = error.chain().find_map(|cause| cause.downcast_ref::<Hinted>());
    if let Some(hinted) = hint {
        lines.push_str("\nhint: ");
        lines.push_str(&pod::text::one_line(&hinted.hint));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn the_hint_has_its_own_line_and_controls_are_escaped() {
        let error = Err::<(), _>(anyhow!("no\x1b[2J such thing").context("fetch")).hint("go on");
        let error = error.context("build").unwrap_err();
        assert_eq!(lines(&error), "error: build: fetch: no\\u{1b}[2J such thing\nhint: go on");
        assert_eq!(lines(&anyhow!("plain")), "error: plain");
    }
}
