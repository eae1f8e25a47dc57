// SPDX-License-Identifier: Apache-2.0
//! The name that the program was called by, for messages that name a command.

use std::sync::OnceLock;

/// The name of a program that has set none.
const DEFAULT: &str = "installer";

static NAME: OnceLock<&str> = OnceLock::new();

/// Returns the name that the program was called by.
pub fn program() -> &'static str {
    NAME.get().unwrap_or(&DEFAULT)
}

/// Sets that name, once: later calls change nothing.
pub fn set_program(name: &'static str) {
    let _ = NAME.set(name);
}
