// SPDX-License-Identifier: Apache-2.0
//! `installer`.

use std::process::ExitCode;

fn main() -> ExitCode {
    installer::main()
}
