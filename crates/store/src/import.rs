// SPDX-License-Identifier: Apache-2.0
//! Imports archive files as trees: finds those that the store already has, and unpacks new ones.
//!
//! A file is recognised by its digest, if the caller states one or the store has seen a file of the same length.
//! Nothing of the file is decoded then. Otherwise it is unpacked in staging, where its tree waits until the caller has
//! found it good.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::AsFd;
use std::sync::Arc;

use pod::digest::Sha256;
use pod::id::{ImageId, TreeId};
use pod::layout;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, retry_on_intr};

use crate::alias::{self, Alias};
use crate::data_dir::DataDir;
use crate::error::{About as _, Error, Result};
use crate::extract::layers::{Frame, Layer};
use crate::extract::{ArchiveFile, Expected, FileDigest, FileHasher, Verified};
use crate::fault::Fault;
use crate::info::TreeKind;
use crate::input::InputFile;
use crate::new::{Complete, NameOf, New, Stored};
use crate::staging::Staging;
use crate::tree::Tree;
use crate::unpacker::decompress::decompress;
use crate::unpacker::{self, Destination, Job};
use archive::{Exceeded, Limits, Skipped};
use sys::InRoot;
use sys::Interrupt;

/// The name in staging of a file that is decompressed, or copied from a stream.
const PLAIN: &str = "plain";
/// How much is copied between two looks at the interrupt.
const PIECE: usize = 256 << 10;
/// How often the interrupt is looked at while nothing comes.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// An importer of archive files into the store.
#[derive(Clone, Copy, Debug)]
pub struct Importer<'h> {
    /// The data directory that archive files are imported into.
    pub data_dir: &'h DataDir,
    /// Limits on what archives may ask for.
    pub limits: Limits,
    /// Function that reads an image's name.
    pub name_of: NameOf,
    /// Interrupt that ends an import early.
    pub interrupt: &'h Interrupt,
}

/// An image of layers to import.
#[derive(Debug)]
pub struct Layered {
    /// The tree's id: the digest of the image's configuration.
    pub id: TreeId,
    /// The image's id that is a sha512: of the configuration, too.
    pub sha512: ImageId,
    /// The layers, the lowest first.
    pub layers: Vec<Layer>,
    /// If their files are still being written: the pipe in which a byte comes for each layer that is whole, in their order.
    pub arrival: Option<Arc<File>>,
    /// The part of the tree that surrounds the layers.
    pub frame: Frame,
}

/// A tree that can be examined, and is in the store or ready for it. On drop, a tree that is not in the store is
/// removed.
#[derive(Debug)]
pub enum Acquired<'h> {
    /// It is in the store.
    Known(Tree),
    /// It is in staging.
    New(New<'h>),
}

impl<'h> Importer<'h> {
    /// Returns the tree of an archive file, from the store or newly unpacked.
    ///
    /// `named` are the ids that the pod calls its images by. If one of them is this image's, the tree is known by it
    /// afterwards as well. An image whose sha512 was never computed is unpacked once more, and known by that.
    ///
    /// # Errors
    /// If the archive is refused or does not meet `expected`, or the system fails. Nothing is left behind then.
    pub fn acquire(
        &self,
        source: &mut InputFile,
        kind: TreeKind,
        expected: Expected,
        named: &[ImageId],
    ) -> Result<Acquired<'h>> {
        if let Some(tree) = self.known(source, kind, expected)?
            && is_called(self.data_dir, &tree, named)?
            && (kind == TreeKind::Stage1 || sha512(self.data_dir, &tree)?.is_some())
        {
            return Ok(Acquired::Known(tree));
        }
        if let Expected::File(digest) = expected {
            source.check(digest, self.interrupt)?;
        }
        Ok(Acquired::New(self.unpack_new(source, kind, expected, named)?))
    }

    /// Returns the tree of a stage1 whose file has this digest, if the store has it.
    ///
    /// # Errors
    /// If the system fails.
    pub fn known_stage1(&self, source: &mut InputFile, digest: Sha256) -> Result<Option<Acquired<'h>>> {
        let known = self.known(source, TreeKind::Stage1, Expected::File(digest))?;
        Ok(known.map(Acquired::Known))
    }

    /// Returns the tree of an image of layers, if the store has it.
    ///
    /// # Errors
    /// If the system fails.
    pub fn known_layers(&self, id: TreeId) -> Result<Option<Acquired<'h>>> {
        let Some(tree) = Tree::open(self.data_dir, id, TreeKind::Image)? else { return Ok(None) };
        // An import that was killed may not have come to it.
        if let Some(sha512) = tree.info().sha512
            && alias::tree_of(self.data_dir, sha512)? != Some(id)
        {
            Alias::Image(sha512).set(self.data_dir, id)?;
        }
        Ok(Some(Acquired::Known(tree)))
    }

    /// Returns the tree of an image of layers, from the store or newly unpacked.
    ///
    /// # Errors
    /// If a layer is refused or is not the one that the image states, or the system fails. Nothing is left behind then.
    pub fn acquire_layers(&self, image: &Layered) -> Result<Acquired<'h>> {
        match self.known_layers(image.id)? {
            Some(known) => Ok(known),
            None => Ok(Acquired::New(self.unpack_layers(image)?)),
        }
    }

    /// Decompresses a file in a worker, into a new file that has no name once the result is returned.
    ///
    /// # Errors
    /// If it is malformed, has more bytes in it than `limits` allow, or the system fails.
    pub fn decompress(&self, source: &File, limits: Limits) -> Result<File> {
        let staging = Staging::create(self.data_dir)?;
        let root = staging.make_directory(layout::TREE)?;
        let into = staging.create_file(PLAIN)?;
        decompress(limits, source, &into, &root, self.interrupt)?;
        Ok(into)
    }

    /// Decompresses the first `length` bytes that are in a file, likewise.
    ///
    /// # Errors
    /// If it is malformed, or the system fails.
    pub fn decompress_start(&self, source: &File, length: u64) -> Result<File> {
        let staging = Staging::create(self.data_dir)?;
        let root = staging.make_directory(layout::TREE)?;
        let into = staging.create_file(PLAIN)?;
        let limits = Limits { bytes: length, ..self.limits };
        match decompress(limits, source, &into, &root, self.interrupt) {
            // There is more, as was expected.
            Err(Error::Worker(..)) | Ok(()) => Ok(into),
            Err(error) => Err(error),
        }
    }

    /// Copies a stream into a new file that has no name.
    ///
    /// # Errors
    /// If it has more bytes than `limits` allow, or the system fails.
    pub fn spool(&self, source: impl AsFd) -> Result<File> {
        let staging = Staging::create(self.data_dir)?;
        let mut into = staging.create_file(PLAIN)?;
        let (mut left, mut buffer) = (self.limits.bytes, vec![0; PIECE]);
        loop {
            self.interrupt.check()?;
            match poll(&mut [PollFd::new(&source, PollFlags::IN)], Some(&TICK)) {
                Ok(0) | Err(Errno::INTR) => continue,
                polled => polled.about(|| "cannot wait for more")?,
            };
            let count = retry_on_intr(|| read(&source, &mut *buffer)).about(|| "cannot read")?;
            if count == 0 {
                into.rewind().about(|| "cannot rewind")?;
                return Ok(into);
            }
            let more = || format!("more than {} bytes: expected at most as many", self.limits.bytes);
            left = left
                .checked_sub(count as u64)
                .ok_or_else(|| Fault::from(Exceeded::raised_by("--max-bytes", more())))?;
            into.write_all(&buffer[..count]).about(|| "cannot write what was read")?;
        }
    }

    /// Unpacks an image of layers in staging, whether or not the store has its tree.
    pub(crate) fn unpack_layers(&self, image: &Layered) -> Result<New<'h>> {
        let Layered { id, sha512, layers, arrival, frame } = image;
        let kind = TreeKind::Image;
        let staging = Staging::create(self.data_dir)?;
        let root = staging.make_directory(layout::TREE)?;
        let place = Destination { root: &root, record: staging.create_file(layout::TREE_RECORD)? };
        let flattened = unpacker::layers::unpack(
            kind,
            self.limits,
            (layers, arrival.as_ref()),
            frame,
            place,
            self.interrupt,
        )?;
        self.warn_of(flattened.skipped(), &id.to_string());
        let Self { data_dir, interrupt, name_of, .. } = *self;
        let complete = Complete::of_layers(*id, *sha512, &flattened);
        Ok(New { data_dir, interrupt, name_of, staging, kind, complete, source: None })
    }

    /// Unpacks an archive file in staging, whether or not the store has its tree.
    pub(crate) fn unpack_new(
        &self,
        source: &mut InputFile,
        kind: TreeKind,
        expected: Expected,
        named: &[ImageId],
    ) -> Result<New<'h>> {
        source.show_progress(self.data_dir.listener, "unpacking");
        let with_sha512 = kind == TreeKind::Image || named.iter().any(|id| id.as_tree().is_none());
        let job = Job { expected, with_sha512, limits: self.limits };
        let staging = Staging::create(self.data_dir)?;
        let verified = self.unpack(&staging, source, kind, &job)?;
        self.warn_of(verified.skipped(), &source.shown());
        let Self { data_dir, interrupt, name_of, .. } = *self;
        let (complete, source) = (Complete::from(verified), source.absolute());
        Ok(New { data_dir, interrupt, name_of, staging, kind, complete, source })
    }

    fn unpack(
        &self,
        staging: &Staging<'_>,
        source: &InputFile,
        kind: TreeKind,
        job: &Job,
    ) -> Result<Verified> {
        let root = staging.make_directory(layout::TREE)?;
        let place = Destination { root: &root, record: staging.create_file(layout::TREE_RECORD)? };
        unpacker::unpack(kind, job, source, place, self.interrupt)
    }

    /// Warns of attributes that an archive has and its tree does not, in one line.
    fn warn_of(&self, skipped: &Skipped, shown: &str) {
        if skipped.count > 0 {
            self.data_dir.listener.warn(&format!("{shown}: {skipped}"));
        }
    }

    /// Returns the file's tree, if the store has it.
    fn known(&self, source: &mut InputFile, kind: TreeKind, expected: Expected) -> Result<Option<Tree>> {
        let length = source.length();
        let id = match expected {
            Expected::Tar(digest) => alias::tree_of(self.data_dir, ImageId::of_tar(digest))?,
            Expected::File(sha256) => {
                let digest = FileDigest::Sha256(sha256);
                Alias::File(ArchiveFile { digest, length }).find(self.data_dir)?
            }
            Expected::Anything if Alias::knows_length(self.data_dir, length)? => {
                source.show_progress(self.data_dir.listener, "checking");
                let digest = source.digest(FileHasher::blake3(), self.interrupt)?;
                Alias::File(ArchiveFile { digest, length }).find(self.data_dir)?
            }
            Expected::Anything => None,
        };
        id.map_or(Ok(None), |id| Tree::open(self.data_dir, id, kind))
    }
}

/// Tells whether a tree is known by one of the ids `named`.
///
/// This is also true if none of them is a sha512, since the tree needs no other name then.
fn is_called(data_dir: &DataDir, tree: &Tree, named: &[ImageId]) -> Result<bool> {
    Ok(named.iter().all(|id| id.as_tree().is_some()) || name_of(data_dir, tree.id(), named)?.is_some())
}

/// Returns the id of an image that is a sha512, if it is known.
fn sha512(data_dir: &DataDir, tree: &Tree) -> Result<Option<ImageId>> {
    match tree.info().sha512 {
        Some(known) => Ok(Some(known)),
        None => alias::sha512_of(data_dir, tree.id()),
    }
}

/// Returns which of the ids `named` the tree `tree` is called by.
fn name_of(data_dir: &DataDir, tree: TreeId, named: &[ImageId]) -> Result<Option<ImageId>> {
    for id in named {
        if alias::tree_of(data_dir, *id)? == Some(tree) {
            return Ok(Some(*id));
        }
    }
    Ok(None)
}

impl Acquired<'_> {
    /// Returns the tree's id.
    pub fn id(&self) -> TreeId {
        match self {
            Self::Known(tree) => tree.id(),
            Self::New(new) => new.complete.id,
        }
    }

    /// Returns what the pod calls the image by: one of the ids `named`, or the tree's id.
    pub fn called(&self, data_dir: &DataDir, named: &[ImageId]) -> Result<ImageId> {
        let name = match self {
            Self::New(new) => new.complete.other_ids().find(|id| named.contains(id)),
            Self::Known(tree) => match tree.info().sha512.filter(|id| named.contains(id)) {
                Some(known) => Some(known),
                None => name_of(data_dir, tree.id(), named)?,
            },
        };
        Ok(name.unwrap_or_else(|| self.id().as_image()))
    }

    /// Tells whether the image has this id: the tree's, or another that is known.
    ///
    /// # Errors
    /// If the system fails.
    pub fn is_called(&self, data_dir: &DataDir, id: ImageId) -> Result<bool> {
        if id == self.id().as_image() {
            return Ok(true);
        }
        match self {
            Self::New(new) => Ok(new.complete.other_ids().any(|other| other == id)),
            Self::Known(tree) => Ok(alias::tree_of(data_dir, id)? == Some(tree.id())),
        }
    }

    /// Returns the lengths of the archive files that are known to make this tree.
    ///
    /// # Errors
    /// If the system fails.
    pub fn file_lengths(&self, data_dir: &DataDir) -> Result<Vec<u64>> {
        let mut lengths = alias::file_lengths(data_dir, self.id())?;
        if let Self::New(new) = self {
            lengths.extend(new.complete.file_length());
        }
        Ok(lengths)
    }

    /// Returns the image's id that is a sha512, if it is known.
    pub fn sha512(&self, data_dir: &DataDir) -> Result<Option<ImageId>> {
        match self {
            Self::New(new) => Ok(new.complete.other_ids().next()),
            Self::Known(tree) => sha512(data_dir, tree),
        }
    }

    /// Keeps the id that is a sha512 of an image in the store which has none.
    pub fn keep_sha512(&self, data_dir: &DataDir, id: ImageId) -> Result<()> {
        Alias::Image(id).set(data_dir, self.id())
    }

    /// Opens a directory of the archive, to read in it as an app would.
    pub fn in_root(&self, path: &str) -> Result<InRoot> {
        let opened = match self {
            Self::Known(tree) => tree.in_root(path),
            Self::New(new) => {
                InRoot::below(&new.staging, &format!("{}/{path}", layout::TREE)).map_err(std::io::Error::from)
            }
        };
        opened.about(|| format!("cannot open its {path}"))
    }

    /// Puts the tree into the store, if it is not there.
    pub fn publish(self) -> Result<Stored> {
        match self {
            Self::Known(tree) => Ok(Stored { tree, is_new: false }),
            Self::New(new) => new.publish(),
        }
    }
}
