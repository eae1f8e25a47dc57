// SPDX-License-Identifier: Apache-2.0
//! A pod's result is true: no code is lost, none is invented, and nothing stays behind.

mod cgroups;
mod codes;
mod complete;
mod full;

/// Runs until it is told to stop, and then fails.
const FAILS_WHEN_STOPPED: &str = "trap 'exit 3' TERM; echo serving; while :; do sleep 3600 & wait; done";
