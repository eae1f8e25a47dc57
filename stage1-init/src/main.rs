// SPDX-License-Identifier: Apache-2.0
//! `/init`.

use std::process::ExitCode;

fn main() -> ExitCode {
    stage1_init::run(std::env::args_os())
}
