// SPDX-License-Identifier: Apache-2.0
//! Kernel features as functions on descriptors. Invariant: nothing in this crate knows what a pod or an image is.

pub mod activation;
pub mod cgroups;
pub mod clock;
pub mod content;
pub mod descriptors;
pub mod error;
pub mod filters;
pub mod guarded;
pub mod in_root;
pub mod interrupt;
pub mod locks;
pub mod mounts;
pub mod namespaces;
mod no_unwind;
pub mod open;
pub mod overlay;
pub mod passing;
pub mod process;
pub mod remove;
pub mod rights;
pub mod root;
pub mod shared_blocks;
pub mod sockets;
#[cfg(feature = "stdout")]
pub mod stdout;
pub mod terminals;
pub mod users;
pub mod write_out;
pub mod xattrs;

pub use error::{CalledOn, Error};
pub use in_root::InRoot;
pub use interrupt::Interrupt;
pub use open::{open_beneath, open_in_root, open_on_mount, open_plainly, proc_path};
pub use open::{open_followed, open_mounted, open_without_magic};
