// SPDX-License-Identifier: Apache-2.0
//! Decompresses an archive file to the tar inside it.
//!
//! The format is detected by magic bytes, never by name. Every member or frame is decoded, and bytes after the last one
//! are an error, unless they are padding that the format's own program takes: no part of the file goes unread.

use std::io::{self, BufReader, Chain, Cursor, Read};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use tar::Header;

use crate::decoder::{Decode, Parts};
use crate::error::{Error, Result};
use crate::tar::header::check_sum;
use crate::{xz, zstd};

/// The offset of `ustar` in a tar header (POSIX.1-1988, "ustar Interchange Format").
const USTAR_OFFSET: usize = 257;
const USTAR: &[u8] = b"ustar";
const BLOCK: usize = 512;

/// How an archive file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An uncompressed tar.
    Plain,
    /// RFC 1952.
    Gzip,
    /// bzip2's `BZh`.
    Bzip2,
    /// The .xz container.
    Xz,
    /// RFC 8878.
    Zstd,
}

impl Format {
    /// Detects the format by a file's first bytes; 512 are enough for every format. `None`: none of them.
    pub fn detect(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Self::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ if is_old_tar(head) => Some(Self::Plain),
            _ if head.get(USTAR_OFFSET..USTAR_OFFSET + USTAR.len()) == Some(USTAR) => Some(Self::Plain),
            // A tar without entries begins with its end marker.
            _ if head.len() >= BLOCK && head.iter().all(|byte| *byte == 0) => Some(Self::Plain),
            _ => None,
        }
    }
}

/// Tells whether a file begins with a header from before there was a magic number, which only its sum tells.
fn is_old_tar(head: &[u8]) -> bool {
    let Some(block) = head.get(..BLOCK) else { return false };
    block[0] != 0 && check_sum(Header::from_byte_slice(block)).is_ok()
}

/// A decoder of one of the crates that return no other errors than [`io::Error`].
struct Plain<R>(R);

impl<R: Read + Send> Decode for Plain<R> {
    fn decode(&mut self, into: &mut [u8]) -> Result<usize> {
        loop {
            match self.0.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Ok(done?),
            }
        }
    }
}

/// The decoded stream of an archive file.
pub struct Decoded<'a>(Box<dyn Decode + 'a>);

impl Decoded<'_> {
    /// Decodes the next bytes of the stream, and returns how many; none at its end.
    ///
    /// # Errors
    /// Fails if the stream is malformed or cut, takes too much memory, or can't be read.
    pub fn decode(&mut self, into: &mut [u8]) -> Result<usize> {
        self.0.decode(into)
    }
}

impl Read for Decoded<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Ok(self.decode(into)?)
    }
}

/// Opens the tar stream inside `input`, in whichever of the known formats. The decoder may use `memory` bytes.
///
/// # Errors
/// Fails if the first bytes are of no known format, and on an error of the input.
pub fn decode<'a>(mut input: impl Read + Send + 'a, memory: u64) -> Result<(Format, Decoded<'a>)> {
    let mut head = Vec::with_capacity(512);
    input.by_ref().take(512).read_to_end(&mut head)?;
    let format = Format::detect(&head).ok_or_else(|| {
        Error::refused("not an archive: expected a tar, plain or compressed with gzip, bzip2, xz or zstd")
    })?;
    let whole = BufReader::with_capacity(1 << 17, Cursor::new(head).chain(input));
    Ok((format, Decoded(decoder(format, whole, memory)?)))
}

fn decoder<'a, R: Read + Send + 'a>(
    format: Format,
    whole: BufReader<Chain<Cursor<Vec<u8>>, R>>,
    memory: u64,
) -> Result<Box<dyn Decode + 'a>> {
    Ok(match format {
        Format::Plain => Box::new(Plain(whole)),
        Format::Gzip => Box::new(Parts::new(whole, GzDecoder::new, GzDecoder::into_inner, 0x1f)),
        Format::Bzip2 => Box::new(Parts::new(whole, BzDecoder::new, BzDecoder::into_inner, b'B')),
        Format::Xz => Box::new(xz::Decoder::new(whole, memory)?),
        Format::Zstd => Box::new(zstd::Decoder::new(whole, memory)?),
    })
}
