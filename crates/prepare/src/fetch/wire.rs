// SPDX-License-Identifier: Apache-2.0
//! The messages between the installer and the fetcher: frames of a JSON header and bytes, with their lengths before
//! them.

use std::io::{self, Read, Write};

use pod::blob::BlobDigest;
use registry::Meaning;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The longest header.
const HEADER_MAX: u32 = 1 << 20;
/// The most bytes in a frame: a document's.
const BYTES_MAX: u32 = 4 << 20;

/// A request of the installer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// The document of this tag or digest; `None` is the one that the image's name means.
    Document(Option<String>),
    /// These blobs, with their sizes. They are told by their numbers.
    Blobs(Vec<(BlobDigest, u64)>),
}

/// A message of the fetcher.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Tell {
    /// It is ready, and has no rights any more.
    Ready,
    /// Something that the user should know.
    Note(String),
    /// A document, whose bytes follow.
    Document { media_type: String, digest: BlobDigest },
    /// The next bytes of a blob follow.
    Bytes(usize),
    /// The bytes of a blob so far are void: it is fetched again from its beginning.
    Again(usize),
    /// A blob is whole.
    Whole(usize),
    /// All blobs are whole.
    Done,
    /// The request has failed.
    Failed { message: String, meaning: Meaning },
}

/// Writes a frame.
pub(super) fn write(into: &mut impl Write, header: &impl Serialize, bytes: &[u8]) -> io::Result<()> {
    let header = serde_json::to_vec(header)?;
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map(u32::to_ne_bytes).map_err(io::Error::other);
    into.write_all(&[&length(&header)?[..], &length(bytes)?, &header].concat())?;
    into.write_all(bytes)
}

/// Reads a frame; `None` at the end.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<(T, Vec<u8>)>> {
    let mut lengths = [0; 8];
    match from.read_exact(&mut lengths) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let [header, bytes] = [&lengths[..4], &lengths[4..]].map(|half| half.try_into().map(u32::from_ne_bytes));
    let (header, bytes) = (header.map_err(io::Error::other)?, bytes.map_err(io::Error::other)?);
    if header > HEADER_MAX || bytes > BYTES_MAX {
        return Err(io::Error::other("a message is too long"));
    }
    let mut taken = |length: u32| {
        let mut all = vec![0; length as usize];
        from.read_exact(&mut all).map(|()| all)
    };
    let (header, bytes) = (taken(header)?, taken(bytes)?);
    Ok(Some((serde_json::from_slice(&header)?, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_were_written() {
        let mut all = Vec::new();
        write(&mut all, &Tell::Bytes(3), b"bytes").unwrap();
        write(&mut all, &Tell::Done, b"").unwrap();
        let mut from = all.as_slice();
        let (header, bytes) = read(&mut from).unwrap().unwrap();
        assert!(matches!(header, Tell::Bytes(3)));
        assert_eq!(bytes, b"bytes");
        assert!(matches!(read(&mut from).unwrap(), Some((Tell::Done, _))));
        assert!(read::<Tell>(&mut from).unwrap().is_none());
        all.truncate(10);
        assert!(read::<Tell>(&mut all.as_slice()).is_err(), "it is cut");
        let long = [u32::MAX.to_ne_bytes(), [0; 4]].concat();
        assert!(read::<Tell>(&mut long.as_slice()).is_err());
    }
}
