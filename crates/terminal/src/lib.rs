// SPDX-License-Identifier: Apache-2.0
//! What a program says to the person or the program that called it: data on stdout ([`output`]), messages on stderr.
//!
//! Only programs use this. Libraries tell their callers.
//!
//! Invariant: that a message can't be written, for want of space or of a reader, changes nothing else; data that can't
//! be written is a failure.

pub mod output;

use std::io::{self, Write as _};

use pod::text::one_line;

/// Writes a message and a newline to stderr, if that can be done. The macros that print panic where it can't.
pub fn tell(message: &str) {
    let _ = io::stderr().write_all(format!("{message}\n").as_bytes());
}

/// Writes a warning.
pub fn warn(message: &str) {
    tell(&one_line(&format!("warning: {message}")));
}

/// Writes an error, with the way out at its end.
pub fn error(error: &anyhow::Error) {
    tell(&report::line(error));
}
