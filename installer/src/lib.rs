// SPDX-License-Identifier: Apache-2.0
//! Stage0: verifies and unpacks images and stage1, and lays out pod directories.
//!
//! Arguments → plan (every input open, nothing written) → staging → publish. Invariant: a directory among the pods is
//! complete; what failed or was killed leaves at most staging, which the next run sweeps.

pub mod archive;
mod cli;
mod directory;
mod extract;
mod image;
mod in_root;
mod input;
mod interrupt;
mod metadata;
mod prepare;
mod progress;
mod run;
mod stage1;
mod staging;

pub use cli::main;
