// SPDX-License-Identifier: Apache-2.0
//! Errors on their way to a person: one line, with the way out, where there is one, at its end.
//!
//! Invariant: nothing that comes from an image, a file name or an argument reaches a terminal unescaped.

use std::error::Error;
use std::fmt;

use pod::text::one_line;

/// An error together with what a person can do about it.
struct Hinted {
    error: anyhow::Error,
    hint: String,
}

impl fmt::Debug for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({})", self.error, self.hint)
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
pub trait Hint<T> {
    /// On an error, `hint` is printed after it.
    ///
    /// # Errors
    /// The same.
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Hint<T> for Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| hinted(error.into(), hint))
    }
}

/// An error after which `hint` is printed.
pub fn hinted(error: anyhow::Error, hint: impl Into<String>) -> anyhow::Error {
    Hinted { error, hint: hint.into() }.into()
}

/// The line that tells a person about `error`.
pub fn line(error: &anyhow::Error) -> String {
    let line = format!("error: {error:#}");
    one_line(&hint(error).map_or(line.clone(), |hint| format!("{line} ({hint})")))
}

/// What was added to `error` as the way out.
pub fn hint(error: &anyhow::Error) -> Option<&str> {
    error.chain().find_map(|cause| cause.downcast_ref::<Hinted>()).map(|hinted| hinted.hint.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn the_hint_ends_the_line_and_controls_are_escaped() {
        let error = Err::<(), _>(anyhow!("no\x1b[2J such thing").context("fetch")).hint("go on");
        let error = error.context("build").unwrap_err();
        assert_eq!(line(&error), "error: build: fetch: no\\u{1b}[2J such thing (go on)");
        assert_eq!(line(&anyhow!("plain")), "error: plain");
    }
}
