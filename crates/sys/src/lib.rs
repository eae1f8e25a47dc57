// SPDX-License-Identifier: Apache-2.0
//! Kernel features as functions on descriptors. Invariant: nothing in this crate knows what a pod or an image is.

pub mod content;
pub mod descriptors;
pub mod error;
pub mod in_root;
pub mod interrupt;
pub mod locks;
pub mod namespaces;
pub mod open;
pub mod overlay;
pub mod remove;
pub mod root;
pub mod xattrs;

pub use error::{CalledOn, Error};
pub use in_root::InRoot;
pub use interrupt::Interrupt;
pub use open::{open_beneath, open_in_root, open_on_mount, open_plainly, proc_path};
