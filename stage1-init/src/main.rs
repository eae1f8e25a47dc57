// SPDX-License-Identifier: Apache-2.0
//! `/init`.

// Where panics unwind, as in tests, they need an unwinder.
#[cfg(panic = "abort")]
mod no_unwind;

use std::process::ExitCode;

fn main() -> ExitCode {
    stage1_init::run(std::env::args_os())
}
