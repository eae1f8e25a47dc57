// SPDX-License-Identifier: Apache-2.0
//! `gantry` as one file: the installer, with stage1 built in and its digest fixed when this program was built. Copied
//! alone to a host that has nothing else, it runs a pod.

use std::process::ExitCode;

sys::no_unwind!();

static STAGE1: Option<installer::BuiltIn> = include!(concat!(env!("OUT_DIR"), "/stage1.rs"));

fn main() -> ExitCode {
    installer::main_with(STAGE1.as_ref())
}
