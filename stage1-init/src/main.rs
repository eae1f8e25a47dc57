// SPDX-License-Identifier: Apache-2.0
//! `/init` and, under other names, the helpers in the pod. `start` is a table of contents of a start.

use std::process::ExitCode;

sys::no_unwind!();

fn main() -> ExitCode {
    stage1_init::run(std::env::args_os())
}
