// SPDX-License-Identifier: Apache-2.0
//! The identity of an archive's file: the digest and length of its bytes as they are, compressed or not.
//!
//! The digest is a SHA-256 where a person gives the expected one. Otherwise it is a BLAKE3, which takes a third of the
//! time and appears in the store's own names only.

use std::fmt;
use std::io::{self, Read};

use pod::digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The digest and length of an archive's file, before any decompression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveFile {
    /// The digest of all bytes of the file.
    pub digest: FileDigest,
    /// Its length in bytes.
    pub length: u64,
}

/// A digest of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileDigest {
    /// SHA-256, 32 bytes.
    Sha256(digest::Sha256),
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

/// Computes a digest of either kind.
pub enum FileHasher {
    /// SHA-256.
    Sha256(Sha256),
    /// BLAKE3.
    Blake3(Box<blake3::Hasher>),
}

impl FileHasher {
    /// Starts a SHA-256, for a file whose expected sha256 is given.
    pub fn sha256() -> Self {
        Self::Sha256(Sha256::new())
    }

    /// Starts a BLAKE3, for all other files.
    pub fn blake3() -> Self {
        Self::Blake3(Box::default())
    }

    /// Hashes the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }

    /// Returns the digest of all bytes hashed so far.
    pub fn finish(self) -> FileDigest {
        match self {
            Self::Sha256(hasher) => FileDigest::Sha256(<[u8; 32]>::from(hasher.finalize()).into()),
            Self::Blake3(hasher) => FileDigest::Blake3(hasher.finalize()),
        }
    }
}

/// A reader that hashes and counts the bytes read through it.
pub(super) struct Hashing<R> {
    inner: R,
    hasher: FileHasher,
    length: u64,
}

impl<R> Hashing<R> {
    /// Wraps `inner`, from which nothing has been read yet.
    pub(super) fn new(inner: R, hasher: FileHasher) -> Self {
        Self { inner, hasher, length: 0 }
    }

    /// Returns the file's digest and length. They are those of the whole file only if all of it has been read.
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
