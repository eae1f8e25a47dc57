// SPDX-License-Identifier: Apache-2.0
//! Reads the .xz container around its blocks: stream header, block headers, index and footer (the .xz file format
//! 1.2.1, sections 2 to 4).

use std::io::Read;

use crate::error::{Error, Result};

/// The length of a stream header, and of a footer.
pub(super) const STREAM_HEADER: usize = 12;
const MAGIC: &[u8] = b"\xfd7zXZ\0";
const FOOTER_MAGIC: &[u8] = b"YZ";
const LZMA2: u64 = 0x21;

/// A block, as its header describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The header's bytes.
    pub(super) header: Vec<u8>,
    /// Bytes after the header: compressed data, padding and check.
    pub(super) body: u64,
    /// Bytes of header, compressed data and check, as the index records them.
    unpadded: u64,
    /// Bytes once decoded.
    pub(super) uncompressed: u64,
    /// Its dictionary's size.
    pub(super) dictionary: u64,
}

/// The header of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamHeader(pub(super) [u8; STREAM_HEADER]);

/// An index built from the blocks that were read.
#[derive(Debug, Default)]
pub(super) struct Index {
    count: u64,
    records: Vec<u8>,
}

impl StreamHeader {
    /// Checks that this is a well-formed stream header.
    pub(super) fn check(&self) -> Result<()> {
        let bytes = &self.0;
        let is_good = bytes.starts_with(MAGIC) && bytes[6] == 0 && bytes[8..] == crc32(&bytes[6..8]);
        if is_good && self.check_length().is_some() {
            Ok(())
        } else {
            Err(invalid("a malformed stream header"))
        }
    }

    /// Returns the length of each block's check in bytes (section 2.1.1.2).
    fn check_length(&self) -> Option<u64> {
        [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64].get(usize::from(self.0[7])).copied()
    }

    /// Parses a whole block header; `None` if it lacks a size, or if its filter chain has no end that is known here.
    ///
    /// liblzma parses the header again, and checks its CRC.
    pub(super) fn block(&self, header: Vec<u8>) -> Option<Block> {
        let flags = *header.get(1)?;
        if flags & 0xc0 != 0xc0 {
            return None;
        }
        let mut rest = header.get(2..header.len().checked_sub(4)?)?;
        let (compressed, uncompressed) = (vli(&mut rest)?, vli(&mut rest)?);
        let mut dictionary = None;
        for _ in 0..=flags & 3 {
            let (id, length) = (vli(&mut rest)?, usize::try_from(vli(&mut rest)?).ok()?);
            let (properties, after) = rest.split_at_checked(length)?;
            rest = after;
            dictionary = match (id, properties) {
                // Section 5.3.1: a mantissa of two bits, and an exponent.
                (LZMA2, [bits @ 0..=39]) => Some((2 | u64::from(bits & 1)) << (bits / 2 + 11)),
                _ => None,
            };
        }
        let check = self.check_length()?;
        let unpadded = (header.len() as u64).checked_add(compressed)?.checked_add(check)?;
        let body = compressed.checked_add(3)? / 4 * 4 + check;
        Some(Block { header, body, unpadded, uncompressed, dictionary: dictionary? })
    }
}

impl Index {
    /// Adds a block that was read.
    pub(super) fn add(&mut self, block: &Block) {
        self.count += 1;
        put_vli(&mut self.records, block.unpadded);
        put_vli(&mut self.records, block.uncompressed);
    }

    /// Reads the index and footer, and checks them against the blocks that were read. The index indicator has already
    /// been read.
    pub(super) fn check(self, header: StreamHeader, input: &mut impl Read) -> Result<()> {
        let mut expected = vec![0];
        put_vli(&mut expected, self.count);
        expected.extend(self.records);
        expected.resize(expected.len().next_multiple_of(4), 0);
        expected.extend(crc32(&expected));
        let length = u32::try_from(expected.len() / 4 - 1).map_err(|_| invalid("a large index"))?;
        let mut footer = length.to_le_bytes().to_vec();
        footer.extend(&header.0[6..8]);
        expected.extend(crc32(&footer));
        expected.extend(footer);
        expected.extend(FOOTER_MAGIC);
        let mut found = vec![0; expected.len() - 1];
        input.read_exact(&mut found)?;
        if found == expected[1..] { Ok(()) } else { Err(invalid("an index that does not fit its blocks")) }
    }
}

pub(super) fn invalid(what: &str) -> Error {
    Error::Refused(format!("{what} in the xz file: expected none"))
}

pub(super) fn crc32(bytes: &[u8]) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

/// Reads a variable-length integer (section 1.2): seven bits a byte, the lowest first, nine bytes at most.
pub(super) fn vli(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in 0..9 {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << (7 * shift);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn put_vli(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    into.push(value.to_le_bytes()[0]);
}
