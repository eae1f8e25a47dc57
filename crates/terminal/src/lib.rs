// SPDX-License-Identifier: Apache-2.0
//! A program's output: data on stdout ([`output`]), messages and progress ([`progress`]) on stderr.
//!
//! Only programs use this crate. Libraries return messages to their callers.
//!
//! Invariant: a message that can't be written, because of a full disk or a missing reader, changes nothing else. Data
//! that can't be written is a failure.

pub mod output;
pub mod progress;

use pod::text::one_line;

/// Writes a message and a newline to stderr, and ignores a failure. The standard print macros would panic.
pub fn tell(message: &str) {
    progress::write_above(&format!("{message}\n"));
}

/// Writes a warning.
pub fn warn(message: &str) {
    tell(&one_line(&format!("warning: {message}")));
}

/// Writes an error, followed by its hint if it has one.
pub fn error(error: &anyhow::Error) {
    tell(&report::line(error));
}
