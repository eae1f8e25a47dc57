// SPDX-License-Identifier: Apache-2.0
//! Kernel features as functions on descriptors. Invariant: nothing in this crate knows what a pod or an image is.

pub mod in_root;
pub mod interrupt;
pub mod open;

pub use in_root::InRoot;
pub use interrupt::Interrupt;
pub use open::{open_beneath, open_in_root, open_on_mount, open_plainly, proc_path};
