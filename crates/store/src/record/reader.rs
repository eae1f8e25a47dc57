// SPDX-License-Identifier: Apache-2.0
//! Reads a record. Only the seal marks its end.

use std::io::{BufRead, Read as _};

use super::escape::from_hex;
use super::line::{self, number};
use super::object::{FIRST, Object};
use crate::fault::{OrFault as _, Result, Within as _, ensure, refuse};

/// The maximum length of a line: a path and its attributes, escaped.
const LINE_MAX: u64 = 16 << 20;

/// A record being read.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    line: Vec<u8>,
    /// The number of the line, counted from 1.
    number: u64,
    objects: u64,
    hasher: blake3::Hasher,
}

impl<R: BufRead> Reader<R> {
    /// Starts to read a record, and checks its first line.
    ///
    /// # Errors
    /// If the input is not a record, or can't be read.
    pub fn new(input: R) -> Result<Self> {
        let mut reader =
            Self { input, line: Vec::new(), number: 0, objects: 0, hasher: blake3::Hasher::new() };
        reader.read_line()?;
        ensure!(reader.line == FIRST, "not a record: expected its first line to be \"gantry-record 2\"");
        reader.hasher.update(FIRST);
        Ok(reader)
    }

    /// Returns the next object; `None` once the seal has been read and matches. Only then can the objects before it be
    /// trusted.
    ///
    /// # Errors
    /// If the record is truncated or altered, or can't be read.
    pub fn next_object(&mut self) -> Result<Option<Object>> {
        self.read_line()?;
        if let Some(seal) = self.line.strip_prefix(b"end ") {
            check_seal(seal, self.objects, &self.hasher)?;
            ensure!(self.input.fill_buf()?.is_empty(), "the record goes on after its seal: expected its end");
            return Ok(None);
        }
        self.hasher.update(&self.line);
        self.objects += 1;
        let line = &self.line[..self.line.len() - 1];
        line::decode(line).within(|| format!("line {} of the record", self.number)).map(Some)
    }

    /// Reads a whole line, including its newline.
    fn read_line(&mut self) -> Result<()> {
        self.line.clear();
        self.number += 1;
        (&mut self.input)
            .take(LINE_MAX)
            .read_until(b'\n', &mut self.line)
            .within(|| "cannot read the record")?;
        match self.line.last() {
            Some(b'\n') => Ok(()),
            _ => refuse!("the record is cut in line {}: expected it to end with its seal", self.number),
        }
    }
}

fn check_seal(seal: &[u8], objects: u64, hasher: &blake3::Hasher) -> Result<()> {
    let mut words = seal.strip_suffix(b"\n").unwrap_or(seal).split(|byte| *byte == b' ');
    let mut next =
        || words.next().or_fault(|| "the record's seal is incomplete: expected a count and a digest");
    let (count, digest) = (number::<u64>(next()?)?, from_hex::<32>(next()?)?);
    ensure!(count == objects, "the record has {objects} objects: expected {count}");
    let fits = words.next().is_none() && hasher.finalize() == digest;
    ensure!(fits, "the record was altered: expected it to hash to what its seal says");
    Ok(())
}
