// SPDX-License-Identifier: Apache-2.0
//! Archives: bytes of a file → a tar stream → typed entries.
//!
//! Invariant: an [`Entry`] that exists is within [`Limits`] and says nothing that two readers could understand in two
//! ways; an archive ends well only where its end marker stands and nothing but zeros follows.

mod ahead;
pub mod decode;
mod entry;
mod header;
mod limits;
mod memory;
mod pax;
pub mod pipeline;
mod queue;
mod reader;
mod xz;
mod xz_block;
mod xz_blocks;
mod xz_container;
mod zstd_frames;

pub use entry::{DeviceKind, Entry, Kind, Metadata, Timestamp, Xattr};
pub use limits::Exceeded;
pub use limits::{GENEROUS_MEMORY, Limits};
pub use memory::is_exhausted;
pub use reader::Reader;
