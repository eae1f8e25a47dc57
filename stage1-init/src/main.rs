// SPDX-License-Identifier: Apache-2.0
//! `/init`.

use std::process::ExitCode;

sys::no_unwind!();

fn main() -> ExitCode {
    stage1_init::run(std::env::args_os())
}
