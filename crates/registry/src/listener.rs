// SPDX-License-Identifier: Apache-2.0
//! Listeners: receivers of what this library can't print itself, which is notes and the progress of blobs.

use std::fmt::Debug;

use pod::blob::BlobDigest;

/// A receiver of messages for the user.
pub trait Listener: Debug + Sync {
    /// Takes a note of one line, such as that a registry asks to wait.
    fn note(&self, note: &str);

    /// Begins a blob of `size` bytes.
    fn begin(&self, blob: &BlobDigest, size: u64) -> Box<dyn Progress>;
}

/// A blob in progress. It ends when this value is dropped.
pub trait Progress: Debug + Send {
    /// Notes that `bytes` are there in all. They can become fewer: a registry that can't go on begins again.
    fn reach(&self, bytes: u64);
}

/// A listener that ignores everything.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Listener for Silent {
    fn note(&self, _note: &str) {}

    fn begin(&self, _blob: &BlobDigest, _size: u64) -> Box<dyn Progress> {
        Box::new(Self)
    }
}

impl Progress for Silent {
    fn reach(&self, _bytes: u64) {}
}
