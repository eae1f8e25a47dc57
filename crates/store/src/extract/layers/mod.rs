// SPDX-License-Identifier: Apache-2.0
//! Unpacks the layers of an image, the lowest first, into one tree.
//!
//! ```text
//! for each layer:  what it hides (a first pass) ──► removed ──► its objects, which replace what is there
//! at the end:      metadata of directories ──► the record, from the tree itself
//! ```
//!
//! The rules are those of the OCI image spec (layer.md): a layer's whiteouts hide lower layers alone, wherever in the
//! layer they stand; a path that leads through a link of the tree is resolved inside of the tree; of two entries with one
//! path, the last counts; a directory that no entry of the layer names keeps its metadata.
//!
//! Invariants: each layer's tar has the digest that the image states (its diff_id), or there is no result. Both passes
//! over a layer have found the same whiteouts. Memory depends on directories, whiteouts and files with several names,
//! not on how many objects there are. Nothing is opened by a path that has a link in it.

mod ahead;
mod finish;
mod gate;
mod hide;
mod layer;
mod resolve;
mod scan;
#[cfg(test)]
mod tests;
mod tree;
mod trees;

use std::io::Write;
use std::os::fd::OwnedFd;

use pod::text::escape_bytes;

use super::Unpacker;
use super::metadata::Modes;
use super::write_back::WriteBack;
use crate::fault::{Fault, OrFault as _, Result, Within as _, check as check_interrupt, ensure};
use crate::record::{Sealed, Writer};
use ahead::Ahead;
use archive::decode::Format;
use archive::layer::{Mark, Whiteouts};
use archive::pipeline::{self, Digests};
use archive::{Input, Limits, Reader, Skipped};
use pod::blob::BlobDigest;
use tree::Tree;

pub use gate::Gate;
pub use layer::{Frame, FrameFile, Layer};
pub use trees::{Paths, Source, stack};

impl Unpacker {
    /// Unpacks `layers`, the lowest first, into the empty directory `root`, and writes the tree's record to `record`. Each
    /// layer is read once `gate` lets it through.
    ///
    /// On an error, the directory and the record keep what was written so far. It is incomplete and must not be used.
    ///
    /// # Errors
    /// If a layer is refused or is not the one that the image states, or can't be read or written; once interrupted.
    pub fn unpack_layers(
        &self,
        layers: &[Layer],
        gate: &Gate,
        frame: &Frame,
        root: &OwnedFd,
        record: impl Write,
    ) -> Result<(Sealed, Skipped)> {
        let modes = if self.without_umask { Modes::AsMade } else { Modes::Set };
        let inside = finish::begin(root, frame, modes)?;
        let work = |write_back, ahead: &Ahead| {
            let mut all = Layers {
                unpacker: self,
                left: self.limits,
                tree: Tree::new(inside, self.limits.directories, modes, write_back),
                skipped: Skipped::default(),
            };
            for (index, layer) in layers.iter().enumerate() {
                let about = || format!("layer {} of {}, {}", index + 1, layers.len(), layer.diff_id);
                gate.wait(index).within(about)?;
                all.unpack(layer, index, ahead).within(about)?;
            }
            for path in &frame.made {
                all.tree.make_missing(path).within(|| format!("directory {path}"))?;
            }
            let memory = self.limits.directories;
            let sealed = all.tree.finish(Writer::new(record), root, frame, memory, &self.interrupt)?;
            Ok((sealed, all.skipped))
        };
        WriteBack::during(root, |write_back| {
            Ahead::during(layers, gate, self.limits, |ahead| work(write_back, ahead))
        })
    }
}

/// A tree and what is still allowed to be unpacked into it.
struct Layers<'a> {
    unpacker: &'a Unpacker,
    /// The limits for the layers that are left.
    left: Limits,
    tree: Tree,
    skipped: Skipped,
}

impl Layers<'_> {
    fn unpack(&mut self, layer: &Layer, number: usize, ahead: &Ahead) -> Result<()> {
        let interrupt = &self.unpacker.interrupt;
        let stop = || interrupt.signal().is_some();
        let with_sha512 = matches!(layer.diff_id, BlobDigest::Sha512(_));
        let options =
            || pipeline::Options { with_sha512, decoder_memory: self.left.decoder_memory, interrupt };
        // Nothing is below the lowest layer that it could hide.
        let ahead = if number == 0 { None } else { ahead.take()? };
        let hidden = match (number, layer.blob) {
            (0, _) => None,
            (_, Some(_)) => Some(match ahead {
                Some(found) => found,
                None => scan::whiteouts(layer, self.left, &stop)?,
            }),
            (_, None) => {
                let scanned = pipeline::pass(layer.read(), options(), |stream| {
                    scan::collect(&mut Reader::new(stream, self.left), self.left, &stop)
                })?;
                check(&scanned.digests, layer)?;
                Some(scanned.value)
            }
        };
        if let Some(hidden) = &hidden {
            self.tree.hide(hidden, interrupt)?;
        }
        let passed = pipeline::pass(layer.read(), options(), |stream| {
            let mut reader = Reader::new(stream, self.left);
            write(&mut self.tree, &mut reader, hidden.as_ref(), interrupt)?;
            self.skipped.extend(reader.skipped());
            Ok::<_, Fault>((reader.offset(), reader.headers()))
        })?;
        check(&passed.digests, layer)?;
        let (bytes, headers) = passed.value;
        self.left.bytes = self.left.bytes.saturating_sub(bytes);
        self.left.entries = self.left.entries.saturating_sub(headers);
        Ok(())
    }
}

/// Makes all objects of a layer. `hidden` is what the layer was found to hide, if it can hide anything.
fn write(
    tree: &mut Tree,
    reader: &mut Reader<impl Input>,
    hidden: Option<&Whiteouts>,
    interrupt: &sys::Interrupt,
) -> Result<()> {
    while let Some(entry) = reader.next_entry()? {
        check_interrupt(interrupt)?;
        let about = || format!("entry {}", escape_bytes(entry.path.as_bytes()));
        let mark = Mark::of(&entry.path).map_err(Fault::content).within(about)?;
        if mark == Mark::Object {
            tree.add(&entry, reader).within(about)?;
        } else if hidden.is_some_and(|hidden| !hidden.contains(&mark)) {
            // The file was changed between the two passes. That is not the layer's fault.
            return Err(rustix::io::Errno::STALE).within(about);
        }
    }
    tree.make_waiting()
}

fn check(found: &Digests, layer: &Layer) -> Result<()> {
    let expected = layer.diff_id;
    let found: BlobDigest = found.like(expected.into()).or_fault(|| "the tar's sha512 was not taken")?.into();
    let cause = match layer.format() {
        Some(Format::Zstd) if found != expected => {
            " (older skopeo leaves the padding of tars out of its zstd:chunked layers)"
        }
        _ => "",
    };
    ensure!(found == expected, "the tar's digest is {found}: expected {expected}{cause}");
    Ok(())
}
