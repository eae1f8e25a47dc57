// SPDX-License-Identifier: Apache-2.0
//! Reads which parts of a sparse file are in the archive: GNU tar's four forms (its manual, "Storing Sparse Files").
//!
//! | form | the map is |
//! |---|---|
//! | old GNU | in the header of type `S`, and in blocks that follow it |
//! | pax 0.0 | in pax records, `GNU.sparse.offset` and `GNU.sparse.numbytes` of each part |
//! | pax 0.1 | in one pax record, `GNU.sparse.map` |
//! | pax 1.0 | before the content, in decimal lines |
//!
//! Invariant: the parts of a map are in order, don't overlap, lie in the file, and are together as long as what the
//! archive has of it.

use std::collections::VecDeque;

use pod::text::escape_bytes;
use tar::GnuSparseHeader;

use super::header::{self, decimal};
use crate::error::{Error, Result, ensure, refuse};
use crate::limits::Exceeded;

/// The parts of a file that are in the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Map {
    /// The offset and length of each part.
    pub(super) parts: VecDeque<(u64, u64)>,
    /// The file's length.
    pub(super) size: u64,
}

impl Map {
    /// Accepts a map of a file of `size` bytes, of which the archive has `stored`.
    pub(super) fn new(parts: VecDeque<(u64, u64)>, size: u64, stored: u64) -> Result<Self> {
        let (mut end, mut sum) = (0, 0);
        for (offset, length) in &parts {
            let next = offset.checked_add(*length).filter(|next| *offset >= end && *next <= size);
            let Some(next) = next else {
                refuse!(
                    "sparse map with {length} bytes at {offset}: expected parts in order, within {size} bytes"
                )
            };
            // No larger than `size`, since parts don't overlap.
            (end, sum) = (next, sum + length);
        }
        ensure!(
            sum == stored,
            "sparse map of {sum} bytes: expected {stored}, which the archive has of the file"
        );
        Ok(Self { parts, size })
    }
}

/// The pax records that describe a sparse file.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) name: Option<Vec<u8>>,
    is_there: bool,
    version: (Option<u64>, Option<u64>),
    size: Option<u64>,
    count: Option<u64>,
    parts: VecDeque<(u64, u64)>,
    /// An offset whose length is to come.
    offset: Option<u64>,
    has_map: bool,
}

impl Records {
    /// Tells whether a key may stand in a header more than once.
    pub(super) fn is_repeated(key: &[u8]) -> bool {
        matches!(key, b"GNU.sparse.offset" | b"GNU.sparse.numbytes")
    }

    /// Adds a record; `key` is what follows `GNU.sparse.`. At most `most` parts are kept.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8], most: usize) -> Result<()> {
        self.is_there = true;
        match key {
            b"major" => self.version.0 = Some(decimal(value)?),
            b"minor" => self.version.1 = Some(decimal(value)?),
            b"name" => {
                ensure!(!value.is_empty(), "empty: expected a value");
                self.name = Some(value.to_vec());
            }
            b"size" | b"realsize" => {
                ensure!(self.size.is_none(), "the sparse file has two sizes: expected one");
                self.size = Some(decimal(value)?);
            }
            b"numblocks" => self.count = Some(decimal(value)?),
            b"offset" => {
                let is_first = self.offset.replace(decimal(value)?).is_none();
                ensure!(is_first, "sparse map with two offsets: expected a length after the first");
            }
            b"numbytes" => {
                let Some(offset) = self.offset.take() else {
                    refuse!("sparse map with a length: expected an offset before it")
                };
                self.push((offset, decimal(value)?), most)?;
            }
            b"map" => {
                self.has_map = true;
                let mut numbers = value.split(|byte| *byte == b',').map(decimal);
                while let Some(offset) = numbers.next() {
                    let Some(length) = numbers.next() else {
                        refuse!("sparse map that ends with an offset: expected a length after it")
                    };
                    self.push((offset?, length?), most)?;
                }
            }
            _ => refuse!("unknown record of a sparse file: expected one of GNU tar's"),
        }
        Ok(())
    }

    fn push(&mut self, part: (u64, u64), most: usize) -> Result<()> {
        check_count(self.parts.len() as u64 + 1, most)?;
        self.parts.push_back(part);
        Ok(())
    }

    /// Returns what the records say; `None` if they are about no sparse file.
    pub(super) fn finish(self) -> Result<Option<Described>> {
        let Self { is_there, version, size, count, parts, offset, has_map, .. } = self;
        if !is_there {
            return Ok(None);
        }
        let Some(size) = size else { refuse!("a sparse file without a size: expected GNU.sparse.size") };
        match version {
            (Some(1), Some(0)) => {
                ensure!(parts.is_empty() && !has_map, "two sparse maps: expected one");
                Ok(Some(Described::InContent { size }))
            }
            (None | Some(0), None | Some(0 | 1)) => {
                ensure!(offset.is_none(), "sparse map that ends with an offset: expected a length after it");
                let is_whole = count.is_none_or(|count| count == parts.len() as u64);
                ensure!(is_whole, "sparse map of {} parts: expected {}", parts.len(), count.unwrap_or(0));
                Ok(Some(Described::Map { size, parts }))
            }
            (major, minor) => refuse!(
                "sparse format {}.{}: expected 0.0, 0.1 or 1.0",
                major.unwrap_or_default(),
                minor.unwrap_or_default()
            ),
        }
    }
}

/// A sparse file as its headers describe it.
#[derive(Debug)]
pub(super) enum Described {
    /// The map is known.
    Map {
        /// The file's length.
        size: u64,
        /// The parts.
        parts: VecDeque<(u64, u64)>,
    },
    /// The map is before the content.
    InContent {
        /// The file's length.
        size: u64,
    },
}

/// Checks that a map has no more parts than may be kept.
fn check_count(count: u64, most: usize) -> Result<()> {
    let too_many = || Exceeded::fixed(format!("a sparse file of many parts: expected at most {most}"));
    ensure!(count <= most as u64, too_many());
    Ok(())
}

/// Adds the parts in a header's map, or in a block's that follows it. Unused places are empty.
pub(super) fn add_old(parts: &mut VecDeque<(u64, u64)>, map: &[GnuSparseHeader], most: usize) -> Result<()> {
    let number = |field: &[u8]| {
        let found = header::number(field)?;
        u64::try_from(found)
            .map_err(|_| Error::Refused(format!("sparse map with {found}: expected 0 or more")))
    };
    for part in map.iter().filter(|part| part.offset[0] != 0 && part.numbytes[0] != 0) {
        check_count(parts.len() as u64 + 1, most)?;
        parts.push_back((number(&part.offset)?, number(&part.numbytes)?));
    }
    Ok(())
}

/// A map that is before the content, as far as it was read: how many parts it has, then the offset and length of each, a
/// number a line.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    count: Option<u64>,
    /// An offset whose length is to come.
    offset: Option<u64>,
    pub(super) parts: VecDeque<(u64, u64)>,
}

impl Lines {
    /// Adds a block, and tells whether the map is complete. What follows it in the block is padding.
    pub(super) fn add(&mut self, block: &[u8], most: usize) -> Result<bool> {
        for byte in block {
            if self.is_complete() {
                break;
            }
            if *byte != b'\n' {
                ensure!(self.line.len() < 20, "sparse map {}: expected a number", escape_bytes(&self.line));
                self.line.push(*byte);
                continue;
            }
            let number = decimal(&std::mem::take(&mut self.line))?;
            match (self.count, self.offset.take()) {
                (None, _) => {
                    check_count(number, most)?;
                    self.count = Some(number);
                }
                (Some(_), None) => self.offset = Some(number),
                (Some(_), Some(offset)) => self.parts.push_back((offset, number)),
            }
        }
        Ok(self.is_complete())
    }

    fn is_complete(&self) -> bool {
        self.count == Some(self.parts.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_have_parts_in_order_that_are_all_there() {
        let map =
            |parts: &[(u64, u64)], size, stored| Map::new(parts.iter().copied().collect(), size, stored);
        for (parts, size, stored) in
            [(&[][..], 0, 0), (&[], 9, 0), (&[(0, 4), (4, 4)], 8, 8), (&[(2, 2), (9, 0)], 9, 2)]
        {
            assert_eq!(map(parts, size, stored).unwrap().size, size);
        }
        for (parts, size, stored) in [
            (&[(4, 4), (0, 4)][..], 8, 8),
            (&[(0, 4), (2, 4)], 8, 8),
            (&[(0, 4)], 3, 4),
            (&[(0, 4)], 8, 5),
            (&[(u64::MAX, 1)], u64::MAX, 1),
            (&[(1, u64::MAX)], u64::MAX, u64::MAX),
        ] {
            assert!(map(parts, size, stored).is_err(), "{parts:?}");
        }
    }

    #[test]
    fn a_map_before_the_content_is_read_in_any_pieces() {
        let text = b"2\n0\n1\n9\n2\n\0\0\0";
        for size in 1..=text.len() {
            let mut lines = Lines::default();
            let complete = text.chunks(size).find(|piece| lines.add(piece, 2).unwrap());
            assert!(complete.is_some() && lines.parts == [(0, 1), (9, 2)], "{size}: {lines:?}");
        }
        for bad in [b"x\n".as_slice(), b"\n", b"-1\n", b"3\n", b"000000000000000000000", b"1\n0\n\n"] {
            assert!(Lines::default().add(bad, 2).is_err(), "{bad:?}");
        }
        assert!(!Lines::default().add(b"1\n0\n1", 2).unwrap());
    }
}
