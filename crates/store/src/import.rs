// SPDX-License-Identifier: Apache-2.0
//! Archive files → trees: those that the store has already, and new ones.
//!
//! A file is known by its digest, where somebody says it or its length is one that the store has seen; then nothing of
//! it is decoded. Else it is unpacked in staging, where its tree waits until whoever asked for it has found it good.

use anyhow::{Context, Result};
use pod::digest::Digest;
use pod::layout;
use pod::name::Identifier;

use crate::Kind;
use crate::alias::Alias;
use crate::extract::{ArchiveFile, Expected, FileDigest, FileHasher, Verified};
use crate::home::Home;
use crate::new::New;
use crate::source::Source;
use crate::staging::Staging;
use crate::tree::Tree;
use crate::unpacker::{self, Job, Place};
use archive::Limits;
use sys::InRoot;
use sys::Interrupt;

/// Reads the name that an image has given itself, in the image's tree. The store knows no image format.
pub type NameOf = fn(&InRoot) -> Result<Identifier>;

/// Brings archive files into the store.
#[derive(Clone, Copy, Debug)]
pub struct Importer<'h> {
    /// Where.
    pub home: &'h Home,
    /// What archives may ask for.
    pub limits: Limits,
    /// What reads an image's name.
    pub name_of: NameOf,
    /// What ends it early.
    pub interrupt: &'h Interrupt,
}

/// A tree that can be looked at, and is in the store or ready for it.
#[derive(Debug)]
pub enum Acquired<'h> {
    /// It is in the store.
    Known(Tree),
    /// It is in staging.
    New(New<'h>),
}

impl<'h> Importer<'h> {
    /// The tree of an archive file. Where pods call the image by one of the digests `named`, it is known by that as
    /// well afterwards, if it is one of them.
    ///
    /// # Errors
    /// Where the archive is refused or does not meet `expected`; the system's. Nothing is left then.
    pub fn acquire(
        &self,
        source: &mut Source,
        kind: Kind,
        expected: Expected,
        named: &[Digest],
    ) -> Result<Acquired<'h>> {
        if let Some(tree) = self.known(source, kind, expected)?
            && is_called(self.home, &tree, named)?
        {
            return Ok(Acquired::Known(tree));
        }
        if let Expected::File(digest) = expected {
            source.check(digest, self.interrupt)?;
        }
        let with_sha512 = named.iter().any(Digest::is_sha512);
        self.unpack_new(source, kind, expected, with_sha512).map(Acquired::New)
    }

    /// Unpacks an archive file in staging, whether or not the store has its tree.
    pub(crate) fn unpack_new(
        &self,
        source: &mut Source,
        kind: Kind,
        expected: Expected,
        with_sha512: bool,
    ) -> Result<New<'h>> {
        source.show_progress(self.home.listener, "unpacking");
        let job = Job { expected, with_sha512, limits: self.limits };
        let staging = Staging::create(self.home)?;
        match self.unpack(&staging, source, kind, &job) {
            Ok(verified) => {
                let Self { home, interrupt, name_of, .. } = *self;
                Ok(New { home, interrupt, name_of, staging, kind, verified, source: source.absolute() })
            }
            Err(error) => {
                staging.discard();
                Err(error)
            }
        }
    }

    fn unpack(&self, staging: &Staging<'_>, source: &Source, kind: Kind, job: &Job) -> Result<Verified> {
        let root = staging.make_directory(layout::TREE)?;
        let place = Place { root: &root, record: staging.create_file(layout::TREE_RECORD)? };
        unpacker::unpack(kind, job, source, place, self.interrupt)
    }

    /// The file's tree, if the store has it.
    fn known(&self, source: &mut Source, kind: Kind, expected: Expected) -> Result<Option<Tree>> {
        let length = source.length();
        let id = match expected {
            Expected::Tar(digest) if digest.is_sha512() => Alias::Tar(digest).find(self.home)?,
            Expected::Tar(digest) => Some(digest),
            Expected::File(sha256) => {
                let digest = FileDigest::Sha256(sha256);
                Alias::File(ArchiveFile { digest, length }).find(self.home)?
            }
            Expected::Anything if Alias::knows_length(self.home, length)? => {
                source.show_progress(self.home.listener, "checking");
                let digest = source.digest(FileHasher::blake3(), self.interrupt)?;
                Alias::File(ArchiveFile { digest, length }).find(self.home)?
            }
            Expected::Anything => None,
        };
        id.map_or(Ok(None), |id| Tree::open(self.home, id, kind))
    }
}

/// Whether a tree is known by one of the digests that name it, or nobody named any.
fn is_called(home: &Home, tree: &Tree, named: &[Digest]) -> Result<bool> {
    Ok(named.iter().all(|digest| !digest.is_sha512()) || name_of(home, tree.id(), named)?.is_some())
}

/// Which of the digests `named` the tree `id` is called by.
fn name_of(home: &Home, id: Digest, named: &[Digest]) -> Result<Option<Digest>> {
    for digest in named {
        if *digest == id || digest.is_sha512() && Alias::Tar(*digest).find(home)? == Some(id) {
            return Ok(Some(*digest));
        }
    }
    Ok(None)
}

impl Acquired<'_> {
    /// The sha256 of its tar.
    pub fn id(&self) -> Digest {
        match self {
            Self::Known(tree) => tree.id(),
            Self::New(new) => new.verified.digest(),
        }
    }

    /// What pods call it by: one of the digests `named`, or its id.
    pub fn called(&self, home: &Home, named: &[Digest]) -> Result<Digest> {
        let name = match self {
            Self::New(new) => new.verified.digests().sha512.filter(|sha512| named.contains(sha512)),
            Self::Known(tree) => name_of(home, tree.id(), named)?,
        };
        Ok(name.unwrap_or_else(|| self.id()))
    }

    /// A directory of the archive, to read in as an app would.
    pub fn in_root(&self, path: &str) -> Result<InRoot> {
        let opened = match self {
            Self::Known(tree) => tree.in_root(path),
            Self::New(new) => InRoot::open_at(&new.staging, &format!("{}/{path}", layout::TREE)),
        };
        opened.with_context(|| format!("cannot open its {path}"))
    }

    /// Puts it into the store, if it is not there; tells whether it was not.
    pub fn publish(self) -> Result<(Tree, bool)> {
        match self {
            Self::Known(tree) => Ok((tree, false)),
            Self::New(new) => new.publish(),
        }
    }

    /// Removes it, if it is in staging.
    pub fn abandon(self) {
        if let Self::New(new) = self {
            new.staging.discard();
        }
    }
}
