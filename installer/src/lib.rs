// SPDX-License-Identifier: Apache-2.0
//! Stage0: verifies and unpacks images and stage1, and lays out pod directories.
//!
//! Arguments → plan → staging → publish. Invariant: a pod directory in `containers/` is complete, and a failed run
//! leaves nothing of its own.

mod apps;
mod attached;
mod attendant;
mod bound_options;
mod cgroups;
mod cli;
mod commands;
mod console;
mod context;
mod detached;
mod entered;
mod exit;
mod help;
mod network_attendant;
mod network_options;
mod options;
mod pod_json;
mod pod_process;
mod pull_options;
mod remover;
mod starter;
mod table;
mod time;
mod ui;

pub use cli::{command, main, main_with};
pub use image::stage1::BuiltIn;

/// The memory of all programs that this library is in. musl's own allocator would make a command of milliseconds take a
/// fifth longer (docs/design/25-prepare.md). C libraries still use that one.
#[global_allocator]
static MEMORY: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;
