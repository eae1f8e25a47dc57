// SPDX-License-Identifier: Apache-2.0
//! Limits of archives, and the error of an archive that exceeds one; such an archive is not at fault.

use serde::{Deserialize, Serialize};

/// The most that an archive may ask for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of the whole tar stream.
    pub bytes: u64,
    /// Headers, including extended ones.
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

/// Memory that is enough for any archive as commonly made: xz -9 takes 65 MiB, zstd --ultra -22 takes 129 MiB.
pub const GENEROUS_MEMORY: u64 = 256 << 20;

impl Default for Limits {
    /// Returns limits with which unpacking takes less than 96 MB of memory, and of most archives less than 64 MB. The
    /// decompressors' part is enough for xz -9 and for windows of zstd of 64 MiB.
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            entries: 4 << 20,
            depth: 512,
            extended: 1 << 20,
            directories: 12 << 20,
            decoder_memory: 66 << 20,
        }
    }
}

/// A limit that an archive exceeds, as a message for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Exceeded {
    what: String,
    /// The option that raises the limit, if there is one.
    flag: Option<&'static str>,
}

impl Exceeded {
    /// Returns the error of a limit that `flag` raises.
    pub fn raised_by(flag: &'static str, what: String) -> Self {
        Self { what, flag: Some(flag) }
    }

    /// Returns the error of a limit that no option raises.
    pub fn fixed(what: String) -> Self {
        Self { what, flag: None }
    }

    /// Returns what can be done: which option raises the limit.
    pub fn hint(&self) -> Option<String> {
        self.flag.map(|flag| format!("{flag} raises it"))
    }
}
