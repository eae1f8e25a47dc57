// SPDX-License-Identifier: Apache-2.0
//! Blobs: parts of a file that are read and verified at the same time.
//!
//! Invariant: the last bytes of a blob are handed out only once all of its bytes have the expected digest and length.
//! So a reader that has got the whole blob has verified it; there is no way to forget that.

use std::borrow::Borrow;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use pod::blob::{BlobDigest, BlobHasher};

/// A part of a file.
#[derive(Clone, Debug)]
pub struct Part {
    /// The file.
    pub file: Arc<File>,
    /// The offset of the part's first byte.
    pub offset: u64,
    /// The part's length in bytes.
    pub length: u64,
}

impl Part {
    /// Returns the first `length` bytes of a file.
    pub fn first(file: impl Into<Arc<File>>, length: u64) -> Self {
        Self { file: file.into(), offset: 0, length }
    }

    /// Returns a reader of the part.
    pub fn extent(&self) -> Extent<Arc<File>> {
        Extent::new(Arc::clone(&self.file), self.offset, self.length)
    }
}

/// A part of a file, read from its start without changing the file's position.
#[derive(Clone, Debug)]
pub struct Extent<F> {
    file: F,
    offset: u64,
    left: u64,
}

impl<F: Borrow<File>> Extent<F> {
    /// Returns the `length` bytes of `file` from `offset` on.
    pub fn new(file: F, offset: u64, length: u64) -> Self {
        Self { file, offset, left: length }
    }
}

impl<F: Borrow<File>> Read for Extent<F> {
    /// Reads on. The file's end within the extent is an error.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let count = self.file.borrow().read_at(&mut into[..most], self.offset)?;
        if count == 0 {
            let missing = format!("the file is cut: expected {} more bytes", self.left);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, missing));
        }
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// A blob that is not what its descriptor says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It ends too early.
    #[error("blob {expected} is cut: expected {left} more bytes")]
    Cut {
        /// The blob.
        expected: BlobDigest,
        /// Bytes that are missing.
        left: u64,
    },
    /// There is more after its end.
    #[error("blob {expected} is longer: expected {size} bytes")]
    Longer {
        /// The blob.
        expected: BlobDigest,
        /// The length in its descriptor.
        size: u64,
    },
    /// Its content has another digest.
    #[error("the blob's digest is {found}: expected {expected}")]
    Digest {
        /// The content's digest.
        found: BlobDigest,
        /// The digest in its descriptor.
        expected: BlobDigest,
    },
}

impl From<Mismatch> for io::Error {
    fn from(mismatch: Mismatch) -> Self {
        Self::new(io::ErrorKind::InvalidData, mismatch)
    }
}

/// A reader of a blob whose digest and size are known.
#[derive(Debug)]
pub struct Blob<R> {
    input: R,
    expected: BlobDigest,
    size: u64,
    left: u64,
    /// `None` once the digest was found to be the expected one.
    hasher: Option<BlobHasher>,
}

impl<R: Read> Blob<R> {
    /// Reads all of `input`, which must have `size` bytes and this digest.
    pub fn new(input: R, expected: BlobDigest, size: u64) -> Self {
        Self { input, expected, size, left: size, hasher: Some(expected.hasher()) }
    }

    /// Checks what follows the last byte, and the digest of all that was read.
    fn check_end(&mut self) -> io::Result<()> {
        let Some(hasher) = self.hasher.clone() else { return Ok(()) };
        let mut more = [0];
        let count = loop {
            match self.input.read(&mut more) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        let (expected, size) = (self.expected, self.size);
        if count > 0 {
            return Err(Mismatch::Longer { expected, size }.into());
        }
        let found = hasher.finish();
        if found != expected {
            return Err(Mismatch::Digest { found, expected }.into());
        }
        self.hasher = None;
        Ok(())
    }
}

impl<R: Read> Read for Blob<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let most = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return self.check_end().map(|()| 0);
        }
        let count = self.input.read(&mut into[..most])?;
        if count == 0 {
            return Err(Mismatch::Cut { expected: self.expected, left: self.left }.into());
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&into[..count]);
        }
        self.left -= count as u64;
        if self.left == 0
            && let Err(error) = self.check_end()
        {
            into[..count].fill(0);
            return Err(error);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8], expected: BlobDigest, size: u64) -> io::Result<Vec<u8>> {
        let (mut blob, mut all) = (Blob::new(input, expected, size), Vec::new());
        loop {
            let mut two = [0; 2];
            match blob.read(&mut two)? {
                0 => return Ok(all),
                count => all.extend(&two[..count]),
            }
        }
    }

    #[test]
    fn the_last_bytes_come_only_from_the_expected_blob() {
        let digest = BlobDigest::sha256(b"12345");
        assert_eq!(all(b"12345", digest, 5).unwrap(), b"12345");
        assert_eq!(all(b"", BlobDigest::sha256(b""), 0).unwrap(), b"");
        for (input, size, why) in [
            (&b"12346"[..], 5, "digest is"),
            (b"1234", 5, "is cut"),
            (b"123456", 5, "is longer"),
            (b"12345", 4, "is longer"),
            (b"12345", 6, "is cut"),
            (b"", 5, "is cut"),
            (b"1", 0, "is longer"),
        ] {
            let error = all(input, digest, size).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let mut blob = Blob::new(&b"12346"[..], digest, 5);
        let mut bytes = [0; 5];
        assert!(blob.read(&mut bytes).is_err());
        assert_eq!(bytes, [0; 5], "nothing unverified stays in the buffer");
    }

    #[test]
    fn extents_are_parts_of_a_file() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, b"0123456789").unwrap();
        let file = std::sync::Arc::new(file);
        let read =
            |offset, length| io::read_to_string(Extent::new(std::sync::Arc::clone(&file), offset, length));
        assert_eq!(read(2, 3).unwrap(), "234");
        assert_eq!(read(0, 0).unwrap(), "");
        assert_eq!(read(8, 2).unwrap(), "89");
        assert_eq!(read(8, 3).unwrap_err().to_string(), "the file is cut: expected 1 more bytes");
    }
}
