// SPDX-License-Identifier: Apache-2.0
//! What an archive's file, compressed or not, is known by.
//!
//! Where a person says its sha256, that is it. Else it is a BLAKE3, which only the store's own names have in them and
//! which costs a third of the time.

use std::fmt;
use std::io::{self, Read};

use pod::digest::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// An archive's file as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveFile {
    /// Its digest.
    pub digest: FileDigest,
    /// Its length in bytes.
    pub length: u64,
}

/// A digest of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileDigest {
    /// SHA-256, 32 bytes.
    Sha256(Digest),
    /// BLAKE3, 32 bytes.
    Blake3(blake3::Hash),
}

impl fmt::Display for FileDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digest) => digest.fmt(f),
            Self::Blake3(digest) => write!(f, "blake3-{digest}"),
        }
    }
}

/// Takes a digest of one kind or the other.
pub enum FileHasher {
    /// SHA-256.
    Sha256(Sha256),
    /// BLAKE3.
    Blake3(Box<blake3::Hasher>),
}

impl FileHasher {
    /// For a file whose sha256 somebody says.
    pub fn sha256() -> Self {
        Self::Sha256(Sha256::new())
    }

    /// For any other.
    pub fn blake3() -> Self {
        Self::Blake3(Box::default())
    }

    /// Takes up more of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }

    /// The digest of all that was taken up.
    pub fn finish(self) -> FileDigest {
        match self {
            Self::Sha256(hasher) => FileDigest::Sha256(Digest::Sha256(hasher.finalize().into())),
            Self::Blake3(hasher) => FileDigest::Blake3(hasher.finalize()),
        }
    }
}

/// A reader that hashes what passes.
pub(super) struct Hashing<R> {
    inner: R,
    hasher: FileHasher,
    length: u64,
}

impl<R> Hashing<R> {
    /// Nothing has passed yet.
    pub(super) fn new(inner: R, hasher: FileHasher) -> Self {
        Self { inner, hasher, length: 0 }
    }

    /// The file, if all of it has passed.
    pub(super) fn file(self) -> ArchiveFile {
        ArchiveFile { digest: self.hasher.finish(), length: self.length }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.hasher.update(&into[..count]);
        self.length += count as u64;
        Ok(count)
    }
}
