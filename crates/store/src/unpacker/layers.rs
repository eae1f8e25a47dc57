// SPDX-License-Identifier: Apache-2.0
//! A worker for an image's layers. It differs from one for an archive in what it gets: many files, in place of one.
//!
//! ```text
//! installer ── stdin: a socket with descriptors ── stdout: the record ── stderr: one message ── cwd: the tree ──► worker
//! ```
//!
//! The first descriptor is a file in memory that the installer has written: a list of the layers, and which of the other
//! descriptors each is a part of. The worker takes descriptors out of the socket before it is confined, and reads from
//! them only afterwards.

mod list;
mod passing;

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;

use super::child::{own, tree};
use super::confine;
use super::job::{Job, Order};
use super::parent::{self, Descriptors, Destination};
use crate::error::{About as _, Result};
use crate::extract::layers::{Frame, Layer};
use crate::extract::{Expected, Unpacker};
use crate::fault::{self, Within as _};
use crate::info::TreeKind;
use crate::record::Sealed;
use archive::{Limits, Skipped};
use sys::Interrupt;
use sys::process::PROGRAM;

/// The name (`argv[0]`) under which this program acts as a worker for layers.
pub(super) const NAME: &str = "gantry-unpack-layers";

/// Proof that a tree comes from all layers of an image, each of which had the digest that the image states.
#[derive(Clone, Debug)]
pub struct Flattened(Sealed, Skipped);

impl Flattened {
    /// Returns the number of objects in the tree, its root included.
    pub fn objects(&self) -> u64 {
        self.0.objects
    }

    /// Returns the total size of the files' content in bytes.
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// Returns the attributes that the layers have and the tree does not.
    pub fn skipped(&self) -> &Skipped {
        &self.1
    }
}

/// Unpacks `layers`, the lowest first, in a worker. If they are still arriving, `arrival` is the pipe that tells which are
/// whole ([`crate::extract::layers::Gate`]).
///
/// On an error, what was written so far remains. It is incomplete and must not be used.
///
/// # Errors
/// As [`Unpacker::unpack_layers`]; if the worker can't be confined, or dies.
pub fn unpack(
    kind: TreeKind,
    limits: Limits,
    (layers, arrival): (&[Layer], Option<&Arc<File>>),
    frame: &Frame,
    place: Destination<'_>,
    interrupt: &Interrupt,
) -> Result<Flattened> {
    let (message, result) = io::pipe().about(|| "cannot make a pipe")?;
    let files = list::write(layers, frame, arrival).about(|| "cannot list the layers")?;
    let files: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
    let archive = passing::send(&files).about(|| "cannot hand over the layers")?;
    let job = Job { expected: Expected::Anything, with_sha512: false, limits };
    let Destination { root, record } = place;
    let descriptors =
        Descriptors { archive, record: record.into(), result: result.into(), root: root.as_fd() };
    let child = parent::start(Path::new(PROGRAM), NAME, kind, &job, descriptors)?;
    let (sealed, skipped) = parent::supervise(child, message, &|| (), interrupt)?;
    Ok(Flattened(sealed, skipped))
}

/// The code that runs in the worker.
pub(super) fn work(order: &[u8]) -> fault::Result<(Sealed, Skipped)> {
    let order: Order = serde_json::from_slice(order)
        .map_err(io::Error::from)
        .within(|| "cannot understand what a worker is to do")?;
    let mut files = Vec::new();
    let take = || {
        files = passing::receive(io::stdin()).within(|| "cannot take over the layers")?;
        Ok(())
    };
    confine::enter_with(&order, take).within(|| "cannot confine the unpacking process")?;
    let (layers, gate, frame) = list::read(files).within(|| "cannot read the list of layers")?;
    // A worker needs no interrupt, as it is ended by SIGKILL.
    let unpacker = Unpacker {
        limits: order.job.limits,
        interrupt: Interrupt::default(),
        with_sha512: false,
        without_umask: true,
    };
    let record = File::from(own(io::stdout())?);
    unpacker.unpack_layers(&layers, &gate, &frame, &tree()?, record)
}
