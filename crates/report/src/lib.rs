// SPDX-License-Identifier: Apache-2.0
//! Formats errors for people: one line, with a hint at its end if there is one. A hint says what to do about the error.
//!
//! Invariant: text that comes from an image, a file name or an argument never reaches a terminal unescaped.

mod program;

use std::error::Error;
use std::fmt;

use pod::text::one_line;

pub use program::{program, set_program};

/// An error together with its hint.
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

// It has no `source`: its display contains the whole chain already.
impl Error for Hinted {}

/// Adds a hint to an error.
pub trait Hint<T> {
    /// Adds a hint, which is printed after the error; does nothing to a success.
    ///
    /// # Errors
    /// Returns the same error, with the hint.
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Hint<T> for Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| hinted(error.into(), hint))
    }
}

/// An error that knows whether there is a way out.
pub trait Advice: Error + Send + Sync + 'static {
    /// Returns what can be done about the error.
    fn hint(&self) -> Option<String>;
}

/// Turns an error into one for people, together with its hint.
pub fn told(error: impl Advice) -> anyhow::Error {
    match error.hint() {
        Some(hint) => hinted(error.into(), hint),
        None => error.into(),
    }
}

/// Adds a hint to `error`, which is printed after it.
pub fn hinted(error: anyhow::Error, hint: impl Into<String>) -> anyhow::Error {
    Hinted { error, hint: hint.into() }.into()
}

/// Returns the line that reports `error` to a person.
pub fn line(error: &anyhow::Error) -> String {
    let line = format!("error: {error:#}");
    one_line(&hint(error).map_or(line.clone(), |hint| format!("{line} ({hint})")))
}

/// Returns the hint that was added to `error`.
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
