// SPDX-License-Identifier: Apache-2.0
//! Properties that hold for any input, one module for each way in which untrusted bytes arrive.
//!
//! Each `check` takes any bytes, panics if a property does not hold, and tells whether they were accepted. libFuzzer's
//! programs (`targets/`) call them with inputs that reach new paths through the code. The tests call them with the
//! seeds and with inputs that once failed. `make fuzz` runs the programs.

#![expect(clippy::unwrap_used, reason = "a property that does not hold ends the program")]

pub mod archive;
pub mod manifests;
pub mod seeds;
pub mod units;

#[path = "../../crates/image/tests/hostile/canary.rs"]
mod canary;
mod ground;
mod pods;
mod story;
mod unit_rules;
#[path = "../../crates/image/tests/hostile/writer.rs"]
mod writer;

/// Checks that a message is one line that can't control a terminal.
#[track_caller]
fn check_message(message: &str) {
    assert_eq!(pod::text::one_line(message), message, "a message has control characters");
    assert!(!message.is_empty(), "a message is empty");
}
