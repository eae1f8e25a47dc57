// SPDX-License-Identifier: Apache-2.0
//! What the kernel offers, as functions on descriptors. Invariant: nothing here knows what a pod or an image is.

pub mod in_root;
pub mod interrupt;
pub mod open;

pub use in_root::InRoot;
pub use interrupt::Interrupt;
pub use open::{open_beneath, open_in_root, open_on_mount, open_plainly, proc_path};
