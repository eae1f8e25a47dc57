// SPDX-License-Identifier: Apache-2.0
//! What a pod says of its end is so: no code is lost, none is made up, and nothing stays.

mod cgroups;
mod codes;
mod full;

/// Runs until it is told to stop, and fails then.
const FAILS_WHEN_STOPPED: &str = "trap 'exit 3' TERM; echo serving; while :; do sleep 3600 & wait; done";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
