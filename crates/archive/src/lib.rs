// SPDX-License-Identifier: Apache-2.0
//! Archives: a file's bytes are decompressed to a tar stream, which is read as typed entries.
//!
//! Invariant: an [`Entry`] that exists is within [`Limits`] and contains nothing that two readers could understand
//! differently; an archive is read successfully only if its end marker is there and nothing but zeros follows.

pub mod decode;
mod decoder;
mod entry;
mod error;
pub mod layer;
mod limits;
pub mod members;
mod memory;
pub mod pipeline;
mod tar;
mod xz;
mod zstd;

pub use entry::{DeviceKind, Entry, EntryKind, Metadata, Skipped, Timestamp, Xattr};
pub use error::{Error, Within};
pub use limits::{Exceeded, GENEROUS_MEMORY, Limits};
pub use tar::{Input, Reader};
