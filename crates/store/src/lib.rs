// SPDX-License-Identifier: Apache-2.0
//! The store: each image and each stage1 once, by the sha256 of its tar.
//!
//! A tree is published whole and never changed. A process that works with a tree holds a shared lock on it: `prepare`
//! until its pod is there, `/init` as long as its pod runs. To remove a tree, a process first locks it exclusively, and
//! then checks which trees pods refer to. Invariant: a tree that a process uses or a pod directory names never
//! vanishes.

mod alias;
pub mod blobs;
pub mod copy;
mod damage;
mod data_dir;
mod error;
pub mod extract;
pub mod fault;
mod gc;
pub mod guarded;
mod import;
mod info;
pub mod init;
pub mod input;
pub mod listener;
pub mod names;
mod new;
pub mod overlay;
mod recipe;
pub mod record;
mod references;
mod rendered;
mod repair;
mod select;
mod selector;
mod share;
pub mod staging;
mod tree;
pub mod unpacker;
mod unremoved;
mod verify;

pub use data_dir::{DataDir, check_guarded};
pub use error::{About, Error, Result};
pub use gc::{Collected, Kept, collect, forget_if_empty, remove, sweep, sweep_names};
pub use import::{Acquired, Importer, Layered};
pub use info::{Info, OwnName, TreeKind};
pub use new::{NameOf, Stored};
pub use recipe::Recipe;
pub use references::References;
pub use rendered::{Plan, PlanOf};
pub use repair::{Formats, Known, LayeredOf, Repair, repair};
pub use select::{find, images, resolve};
pub use selector::{Labelled, NoImage, Selector};
pub use tree::{Tree, ids, ids_in_order};
pub use verify::{Verdict, verify};
