// SPDX-License-Identifier: Apache-2.0
//! Layers: the archives that an OCI image is made of, from the lowest to the highest.
//!
//! A layer is a tar that adds objects to what lower layers left, and names the objects that it hides (OCI image spec,
//! layer.md, "Whiteouts"). This module has the part of that which touches no file system: what an entry's name means,
//! what a layer hides, and blobs that are read and verified at the same time.

mod blob;
mod mark;
mod whiteouts;

pub use blob::{Blob, Extent, Mismatch, Part};
pub use mark::{InvalidMark, Mark};
pub use whiteouts::{Hides, Whiteouts};
