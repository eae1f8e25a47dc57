// SPDX-License-Identifier: Apache-2.0
//! Writes a record: each object as it is made, and the seal once the tree is complete.

use std::fs::File;
use std::io::{self, Seek as _, Write};

use serde::{Deserialize, Serialize};

use super::escape::to_hex;
use super::line;
use super::object::{FIRST, Object, ObjectKind};
use crate::fault::{Result, Within as _};

/// The number of bytes that are written at once.
const BUFFER: usize = 64 << 10;

/// The destination of a record.
pub trait Output: Write {
    /// Removes what was written so far.
    ///
    /// # Errors
    /// Returns the system's error.
    fn restart(&mut self) -> io::Result<()>;
}

impl Output for File {
    fn restart(&mut self) -> io::Result<()> {
        self.set_len(0)?;
        self.rewind()
    }
}

impl Output for Vec<u8> {
    fn restart(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

impl Output for io::Sink {
    fn restart(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<T: Output + ?Sized> Output for &mut T {
    fn restart(&mut self) -> io::Result<()> {
        (**self).restart()
    }
}

/// A record being written.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
    /// Bytes not yet written or hashed.
    pending: Vec<u8>,
    hasher: blake3::Hasher,
    sealed: Sealed,
}

/// The totals of a complete record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The number of objects, including the root.
    pub objects: u64,
    /// The total size of the files' content in bytes. A file with several names counts once.
    pub size: u64,
}

impl<W: Write> Writer<W> {
    /// Starts a record in `output`, which is empty.
    pub fn new(output: W) -> Self {
        Self { output, pending: FIRST.to_vec(), hasher: blake3::Hasher::new(), sealed: Sealed::default() }
    }

    /// Adds an object.
    ///
    /// # Errors
    /// If the output can't be written.
    pub fn add(&mut self, object: &Object) -> Result<()> {
        line::encode(&mut self.pending, object);
        self.sealed.objects += 1;
        if let ObjectKind::File { size, .. } = object.kind {
            self.sealed.size += size;
        }
        if self.pending.len() < BUFFER { Ok(()) } else { self.flush() }
    }

    /// Seals the record after the last object, and returns its totals.
    ///
    /// # Errors
    /// If the output can't be written.
    pub fn finish(mut self) -> Result<Sealed> {
        self.flush()?;
        let mut last = format!("end {} ", self.sealed.objects).into_bytes();
        to_hex(&mut last, self.hasher.finalize().as_bytes());
        last.push(b'\n');
        self.output
            .write_all(&last)
            .and_then(|()| self.output.flush())
            .within(|| "cannot write the record")?;
        Ok(self.sealed)
    }

    /// Begins the record anew, without what was added.
    ///
    /// # Errors
    /// If the output can't be emptied.
    pub fn restart(mut self) -> Result<Self>
    where
        W: Output,
    {
        self.output.restart().within(|| "cannot begin the record anew")?;
        Ok(Self::new(self.output))
    }

    fn flush(&mut self) -> Result<()> {
        self.hasher.update(&self.pending);
        self.output.write_all(&self.pending).within(|| "cannot write the record")?;
        self.pending.clear();
        Ok(())
    }
}
