// SPDX-License-Identifier: Apache-2.0
//! Stage0: verifies and unpacks images and stage1, and lays out pod directories.
//!
//! Arguments → plan → staging → publish. Invariant: a pod directory in `containers/` is complete, and a failed run
//! leaves nothing of its own.

pub mod archive;
mod cgroups;
mod cli;
mod copy;
pub mod extract;
mod home;
pub mod image;
mod image_root;
pub mod interrupt;
mod lock;
mod overlay;
mod prepare;
mod progress;
pub mod record;
pub mod report;
mod request;
mod run;
mod source;
pub mod stage1;
mod staging;
mod store;
pub mod worker;

pub use cli::main;
