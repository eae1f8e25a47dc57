// SPDX-License-Identifier: Apache-2.0
//! What has to hold whatever the input is, one module for each of the doors that untrusted bytes come in by.
//!
//! Each `check` takes any bytes, panics where something does not hold, and says whether they were accepted. libFuzzer's programs (`targets/`) call them
//! with what finds new paths through the code; the tests call them with the seeds and with what once broke.
//! `make fuzz` runs the programs.

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

/// Whether a message is one line that steers no terminal, as a person would get it.
#[track_caller]
fn check_message(message: &str) {
    assert_eq!(pod::text::one_line(message), message, "a message has control characters");
    assert!(!message.is_empty(), "a message is empty");
}
