// SPDX-License-Identifier: Apache-2.0
//! `installer`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    installer::main()
}
