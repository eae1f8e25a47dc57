// SPDX-License-Identifier: Apache-2.0
//! `rootfs-build`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    rootfs_build::run()
}
