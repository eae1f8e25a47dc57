// SPDX-License-Identifier: Apache-2.0
//! `/init`.

// Builds in which panics unwind, such as tests, need a real unwinder.
#[cfg(panic = "abort")]
mod no_unwind;

use std::process::ExitCode;

fn main() -> ExitCode {
    stage1_init::run(std::env::args_os())
}
