// SPDX-License-Identifier: Apache-2.0
//! Writes a record: each object as it is made, and the seal once the tree is whole.

use std::io::Write;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::escape::to_hex;
use super::line;
use super::{FIRST, Kind, Object};

/// So many bytes are written at once.
const BUFFER: usize = 64 << 10;

/// A record being written.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
    /// What is not yet written, nor hashed.
    pending: Vec<u8>,
    hasher: blake3::Hasher,
    sealed: Sealed,
}

/// What a whole record comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Objects, the root included.
    pub objects: u64,
    /// Bytes of all files' content; what has several names counts once.
    pub size: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a record in `output`, which is empty.
    pub fn new(output: W) -> Self {
        Self { output, pending: FIRST.to_vec(), hasher: blake3::Hasher::new(), sealed: Sealed::default() }
    }

    /// Adds an object.
    ///
    /// # Errors
    /// The output's.
    pub fn add(&mut self, object: &Object) -> Result<()> {
        line::encode(&mut self.pending, object);
        self.sealed.objects += 1;
        if let Kind::File { size, .. } = object.kind {
            self.sealed.size += size;
        }
        if self.pending.len() < BUFFER { Ok(()) } else { self.flush() }
    }

    /// Seals the record: there are no more objects.
    ///
    /// # Errors
    /// The output's.
    pub fn finish(mut self) -> Result<Sealed> {
        self.flush()?;
        let mut last = format!("end {} ", self.sealed.objects).into_bytes();
        to_hex(&mut last, self.hasher.finalize().as_bytes());
        last.push(b'\n');
        self.output.write_all(&last).and_then(|()| self.output.flush()).context("cannot write the record")?;
        Ok(self.sealed)
    }

    fn flush(&mut self) -> Result<()> {
        self.hasher.update(&self.pending);
        self.output.write_all(&self.pending).context("cannot write the record")?;
        self.pending.clear();
        Ok(())
    }
}
