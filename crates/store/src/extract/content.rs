// SPDX-License-Identifier: Apache-2.0
//! Writes a file's content: long runs of zeros become holes, which take no space. So does what an archive has as a hole,
//! since its reader passes that on as zeros.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};

/// The unit that is compared with zeros: a page, and a block of most file systems.
const PIECE: usize = 4 << 10;
/// The shortest run of zeros that becomes a hole. Shorter ones would tear files into extents.
const HOLE_MIN: usize = 32 << 10;
static ZEROS: [u8; HOLE_MIN] = [0; HOLE_MIN];

/// The content of a file that is being written, from its beginning on.
#[derive(Debug)]
pub(super) struct Content<'f> {
    file: &'f File,
    /// Bytes that were added.
    size: u64,
    /// Zeros at the end of these, which were not written yet.
    zeros: u64,
}

impl<'f> Content<'f> {
    /// Starts to write to an empty file.
    pub(super) fn new(file: &'f File) -> Self {
        Self { file, size: 0, zeros: 0 }
    }

    /// Adds the next bytes.
    pub(super) fn add(&mut self, chunk: &[u8]) -> io::Result<()> {
        // The part of the chunk that is to be written next.
        let mut data = 0..0;
        let mut at = 0;
        while at < chunk.len() {
            let into = usize::try_from(self.size % PIECE as u64).unwrap_or(0);
            let end = chunk.len().min(at + PIECE - into);
            let piece = &chunk[at..end];
            self.size += piece.len() as u64;
            if *piece == ZEROS[..piece.len()] {
                self.zeros += piece.len() as u64;
            } else {
                if self.zeros < HOLE_MIN as u64 && self.zeros == (at - data.end) as u64 {
                    // Written with what is around them.
                    self.zeros = 0;
                } else {
                    self.file.write_all(&chunk[data])?;
                    self.leave_zeros()?;
                    data = at..at;
                }
                data.end = end;
            }
            at = end;
        }
        self.file.write_all(&chunk[data])
    }

    /// Writes zeros that are left, or makes a hole of them.
    fn leave_zeros(&mut self) -> io::Result<()> {
        let zeros = std::mem::take(&mut self.zeros);
        match usize::try_from(zeros).ok().and_then(|count| ZEROS.get(..count)) {
            Some(zeros) => self.file.write_all(zeros),
            None => self.file.seek(SeekFrom::Current(zeros.cast_signed())).map(drop),
        }
    }

    /// Ends the file, and returns its length.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        if self.zeros > HOLE_MIN as u64 {
            self.file.set_len(self.size)?;
        } else {
            self.leave_zeros()?;
        }
        Ok(self.size)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn what_is_written_is_what_was_added_in_any_pieces() {
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..200 {
            let mut whole = Vec::new();
            for _ in 0..random.usize(0..8) {
                let length = [1, 100, PIECE, 3 * PIECE, 40 << 10, 100_000][random.usize(0..6)];
                let byte = if random.bool() { 0 } else { random.u8(1..) };
                whole.extend(vec![byte; length + random.usize(0..3)]);
            }
            let mut file = tempfile::tempfile().unwrap();
            let mut content = Content::new(&file);
            let mut rest = whole.as_slice();
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(random.usize(1..=rest.len().min(70_000)));
                content.add(chunk).unwrap();
                rest = after;
            }
            assert_eq!(content.finish().unwrap(), whole.len() as u64);
            let mut found = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut found).unwrap();
            assert!(found == whole, "round {round}");
        }
    }

    #[test]
    fn long_runs_of_zeros_take_no_space() {
        let file = tempfile::tempfile().unwrap();
        let mut content = Content::new(&file);
        content.add(b"x").unwrap();
        // In pieces that begin nowhere in particular.
        (0..100).for_each(|_| content.add(&[0; 300_001][..]).unwrap());
        content.add(b"x").unwrap();
        (0..100).for_each(|_| content.add(&[0; 300_001][..]).unwrap());
        content.finish().unwrap();
        let found = file.metadata().unwrap();
        assert_eq!(found.len(), 2 + 200 * 300_001);
        assert!(found.blocks() * 512 <= 64 << 10, "{} blocks", found.blocks());
    }
}
