// SPDX-License-Identifier: Apache-2.0
//! `installer`: see the library.

use std::process::ExitCode;

sys::no_unwind!();

fn main() -> ExitCode {
    installer::main()
}
