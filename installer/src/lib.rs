// SPDX-License-Identifier: Apache-2.0
//! Stage0: verifies and unpacks images and stage1, and lays out pod directories.
//!
//! Arguments → plan → staging → publish. Invariant: a pod directory in `containers/` is complete, and a failed run
//! leaves nothing of its own.

mod cli;
mod copy;
pub mod extract;
mod home;
pub mod image;
mod image_root;
pub mod listener;
mod lock;
mod overlay;
mod prepare;
pub mod record;
mod request;
mod run;
mod source;
pub mod stage1;
mod staging;
pub mod store;
mod ui;
pub mod worker;

pub use cli::main;
