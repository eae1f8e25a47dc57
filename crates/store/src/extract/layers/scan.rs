// SPDX-License-Identifier: Apache-2.0
//! The first pass over a layer: collects what it hides, and changes nothing.

use pod::text::escape_bytes;

use super::layer::Layer;
use crate::fault::{Fault, Result, Within as _};
use archive::decode::Decoded;
use archive::decode::decode;
use archive::layer::{Mark, Whiteouts};
use archive::{EntryKind, Input, Limits, Reader};

const BUFFER: usize = 64 << 10;
/// Whiteouts may take this part of the memory that directories may take, beside those.
const PART: usize = 3;

/// Returns what a layer hides whose file has a known digest.
///
/// The tar is not hashed: the file's digest is checked, as it is by the second pass. The pass ends early once `stop` says so.
pub(super) fn whiteouts(layer: &Layer, limits: Limits, stop: &dyn Fn() -> bool) -> Result<Whiteouts> {
    let (_, decoded) = decode(layer.read(), limits.decoder_memory)?;
    collect(&mut Reader::new(Decoding::new(decoded, stop), limits), limits, stop)
}

/// Returns what the layer that is read hides.
pub(super) fn collect(
    reader: &mut Reader<impl Input>,
    limits: Limits,
    stop: &dyn Fn() -> bool,
) -> Result<Whiteouts> {
    let mut found = Whiteouts::new(limits.directories / PART);
    while let Some(entry) = reader.next_entry()? {
        if stop() {
            return Err(archive::Error::Interrupted.into());
        }
        let about = || format!("entry {}", escape_bytes(entry.path.as_bytes()));
        let mark = Mark::of(&entry.path).map_err(Fault::content).within(about)?;
        if mark == Mark::Object && entry.kind == EntryKind::Directory {
            found.add_directory(&entry.path)?;
        }
        found.add(mark)?;
    }
    Ok(found)
}

/// A decoded stream with a buffer. Its errors say whose fault they are.
struct Decoding<'a> {
    decoded: Decoded<'a>,
    stop: &'a dyn Fn() -> bool,
    buffer: Vec<u8>,
    start: usize,
    filled: usize,
}

impl<'a> Decoding<'a> {
    fn new(decoded: Decoded<'a>, stop: &'a dyn Fn() -> bool) -> Self {
        Self { decoded, stop, buffer: vec![0; BUFFER], start: 0, filled: 0 }
    }
}

impl Input for Decoding<'_> {
    fn fill(&mut self) -> Result<&[u8], archive::Error> {
        if self.start == self.filled {
            if (self.stop)() {
                return Err(archive::Error::Interrupted);
            }
            (self.start, self.filled) = (0, self.decoded.decode(&mut self.buffer)?);
        }
        Ok(&self.buffer[self.start..self.filled])
    }

    fn take_bytes(&mut self, count: usize) {
        self.start += count;
    }
}
