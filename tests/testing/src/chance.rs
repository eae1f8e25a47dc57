// SPDX-License-Identifier: Apache-2.0
//! Tests of chance: what they draw is said, so that it can be drawn again, and they run for a short time or a long one.

use std::io::{self, Write as _};
use std::time::Duration;

/// The variable that asks for the long versions.
const LONG: &str = "GANTRY_TEST_LONG";
/// The variable that names what a test draws from.
const SEED: &str = "GANTRY_SEED";

/// How much a test of chance does.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// How many pods there are.
    pub pods: usize,
    /// How long it goes on at least.
    pub time: Duration,
}

/// Returns the long extent if `$GANTRY_TEST_LONG` is 1, and otherwise the short one.
pub fn extent(short: Extent, long: Extent) -> Extent {
    if is_long() { long } else { short }
}

/// Tells whether the long versions are to run.
pub fn is_long() -> bool {
    std::env::var_os(LONG).is_some_and(|value| value == "1")
}

/// Returns `$GANTRY_SEED`, or a new seed, and says it.
///
/// # Panics
/// Panics if the variable is no number.
pub fn seed(test: &str) -> u64 {
    let given = std::env::var(SEED).ok().map(|seed| seed.parse().expect("a seed is a number"));
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    say(&format!("{test}: {SEED}={seed}"));
    seed
}

/// Says a line on stderr, even if the test passes.
pub fn say(line: &str) {
    // Not by eprintln!: the harness keeps to itself what a passing test prints.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
