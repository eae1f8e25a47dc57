// SPDX-License-Identifier: Apache-2.0
//! The store: each image and each stage1 once, by the sha256 of its tar.
//!
//! A tree is published whole and never changed. Who works with one holds a shared lock on it: `prepare` until its pod
//! is there, `/init` as long as its pod runs. Who would remove one takes the lock alone, and then looks which trees pods
//! refer to. Invariant: no tree vanishes that somebody uses or a pod directory names.

mod alias;
mod damage;
mod gc;
mod import;
mod info;
pub(crate) mod init;
mod new;
mod references;
mod select;
mod tree;
mod verify;

pub(crate) use alias::sweep as sweep_aliases;
pub(crate) use gc::{Kept, collect, forget_if_empty, remove};
pub(crate) use import::{Acquired, Importer};
pub(crate) use info::Info;
pub use info::Kind;
pub(crate) use references::References;
pub(crate) use select::{Selector, images, missing, resolve};
pub(crate) use tree::{Tree, ids};
pub(crate) use verify::{Known, Repair, Verdict, repair, verify};
