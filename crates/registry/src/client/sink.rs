// SPDX-License-Identifier: Apache-2.0
//! Sinks: where blobs are written to. These are files, or memory for small blobs.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// How much is read at once.
const PIECE: usize = 64 << 10;

/// A place that a blob is written to. It may hold the blob's beginning from an earlier attempt.
pub trait Sink {
    /// Passes all that it holds to `each`, and moves to its end.
    ///
    /// # Errors
    /// Fails if it can't be read.
    fn held(&mut self, each: &mut dyn FnMut(&[u8])) -> io::Result<()>;

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// Fails if they can't be written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Removes all that it holds.
    ///
    /// # Errors
    /// Fails if that can't be removed.
    fn clear(&mut self) -> io::Result<()>;
}

impl Sink for File {
    fn held(&mut self, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        self.seek(SeekFrom::Start(0))?;
        let mut piece = vec![0; PIECE];
        loop {
            match self.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(length) => each(&piece[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.set_len(0)?;
        self.seek(SeekFrom::Start(0)).map(|_| ())
    }
}

impl Sink for Vec<u8> {
    fn held(&mut self, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        each(self);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.truncate(0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_on_at_its_end() {
        let mut file = tempfile::tempfile().unwrap();
        file.append(b"begun").unwrap();
        let mut held = Vec::new();
        file.held(&mut |piece| held.extend_from_slice(piece)).unwrap();
        file.append(b", ended").unwrap();
        assert_eq!(held, b"begun");
        let mut all = Vec::new();
        file.held(&mut |piece| all.extend_from_slice(piece)).unwrap();
        assert_eq!(all, b"begun, ended");
        file.clear().unwrap();
        file.append(b"x").unwrap();
        assert_eq!(file.metadata().unwrap().len(), 1);
    }
}
