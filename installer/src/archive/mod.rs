// SPDX-License-Identifier: Apache-2.0
//! Archives: bytes of a file → a tar stream → typed entries.
//!
//! Invariant: an [`Entry`] that exists is within [`Limits`] and says nothing that two readers could understand in two
//! ways; an archive ends well only where its end marker stands and nothing but zeros follows.

mod ahead;
pub mod decode;
mod entry;
mod header;
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
pub(crate) use memory::TooLittle;
pub use reader::Reader;
use serde::{Deserialize, Serialize};

/// What an archive may ask for at most.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of the tar stream, all of it.
    pub bytes: u64,
    /// Headers, extended ones too.
    pub entries: u64,
    /// Components of a path.
    pub depth: usize,
    /// Bytes of all extended headers of one entry.
    pub extended: u64,
    /// Bytes of memory that the directories' names take until the archive's end.
    pub directories: usize,
    /// Bytes of memory that decompressing takes.
    pub decoder_memory: u64,
}

/// Memory that is enough for any archive as they are commonly made: xz -9 takes 65 MiB, zstd --ultra -22 129.
pub const GENEROUS_MEMORY: u64 = 256 << 20;

impl Default for Limits {
    /// With these, unpacking takes less than 64 MB of memory. Of the decompressors' it is enough for xz -8 and
    /// windows of 32 MiB.
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            entries: 4 << 20,
            depth: 512,
            extended: 1 << 20,
            directories: 12 << 20,
            decoder_memory: 38 << 20,
        }
    }
}
