// SPDX-License-Identifier: Apache-2.0
//! `/init` and, under other names, the helpers in the pod. `start` is a table of contents of a start.

use std::process::ExitCode;

sys::no_unwind!();

/// musl maps a page for the first block of a size and unmaps it with the last one: a hundred times each while a pod starts.
#[global_allocator]
static MEMORY: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    stage1_init::run(std::env::args_os())
}
