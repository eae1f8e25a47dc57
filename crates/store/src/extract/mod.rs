// SPDX-License-Identifier: Apache-2.0
//! An archive → a tree in a directory, verified.
//!
//! Invariant: [`Verified`] can only be had from a pass that saw the whole archive, wrote all of it, kept the policy's
//! rules and met the expected digest, be it in this process or in a [worker](crate::unpacker) that has said so. What
//! publishes trees takes nothing else.

mod archive_file;
mod directories;
pub mod metadata;
mod refusal;
mod tree;
mod write_back;

use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};
use pod::digest::Digest;
use pod::text::escape_bytes;
use serde::{Deserialize, Serialize};

use crate::record::{Sealed, Writer};
use archive::pipeline::{self, Digests};
use archive::{Entry, Limits, Reader};
use archive_file::Hashing;
use metadata::Modes;
use sys::Interrupt;
use tree::Tree;
use write_back::WriteBack;

pub use archive_file::FileHasher;
pub use archive_file::{ArchiveFile, FileDigest};
pub use refusal::Refused;
pub use tree::open_directory;

/// What a kind of archive may hold. Names that stand twice are refused whatever the policy.
pub trait Policy {
    /// Looks at an entry before anything of it is written.
    ///
    /// # Errors
    /// Where it has no place in this kind of archive.
    fn admit(&mut self, entry: &Entry) -> Result<Admission>;

    /// Looks at what is missing once the archive has ended.
    ///
    /// # Errors
    /// Where something is.
    fn complete(&self) -> Result<()>;
}

impl Policy for Box<dyn Policy> {
    fn admit(&mut self, entry: &Entry) -> Result<Admission> {
        self.as_mut().admit(entry)
    }

    fn complete(&self) -> Result<()> {
        self.as_ref().complete()
    }
}

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is written.
    Write,
    /// It says nothing.
    Ignore,
}

/// What an archive must hash to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expected {
    /// Whatever: the digest becomes its name.
    Anything,
    /// This, for the decoded tar stream.
    Tar(Digest),
    /// This, for the file as it is.
    File(Digest),
}

impl Expected {
    fn check(self, tar: &Digests, file: FileDigest) -> Result<()> {
        match self {
            Self::Anything => Ok(()),
            Self::Tar(digest) => {
                let found = tar.like(digest).context("the tar's sha512 was not taken")?;
                check_digest("the tar's", found, digest)
            }
            Self::File(digest) => check_file(file, digest),
        }
    }
}

/// A tree from a whole archive that kept its policy's rules and met its digest.
#[derive(Clone, Copy, Debug)]
pub struct Verified(Outcome);

/// What an archive came to, as a worker says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    digests: Digests,
    file: ArchiveFile,
    sealed: Sealed,
}

impl Verified {
    /// Takes a worker's word for a tree that it has unpacked to its end.
    ///
    /// # Errors
    /// Where the worker says that it is not the `expected` one, and should have failed.
    pub fn by_worker(outcome: Outcome, expected: Expected) -> Result<Self> {
        expected.check(&outcome.digests, outcome.file.digest)?;
        Ok(Self(outcome))
    }

    /// All that is known of it.
    pub fn outcome(&self) -> Outcome {
        self.0
    }

    /// What the tar stream hashes to.
    pub fn digests(&self) -> Digests {
        self.0.digests
    }

    /// What it is called by where nobody says otherwise: the sha256 of the tar stream.
    pub fn digest(&self) -> Digest {
        self.0.digests.sha256
    }

    /// What the archive's file is known by.
    pub fn file(&self) -> ArchiveFile {
        self.0.file
    }

    /// How many objects the tree has, its root included.
    pub fn objects(&self) -> u64 {
        self.0.sealed.objects
    }

    /// How many bytes the content of its files has.
    pub fn size(&self) -> u64 {
        self.0.sealed.size
    }
}

/// How archives are unpacked.
#[derive(Clone, Debug, Default)]
pub struct Unpacker {
    /// What an archive may ask for.
    pub limits: Limits,
    /// What ends it early.
    pub interrupt: Interrupt,
    /// Whether the tar stream's sha512 is taken as well.
    pub with_sha512: bool,
    /// Whether this process has an umask of 0, which saves setting modes.
    pub without_umask: bool,
}

impl Unpacker {
    /// Unpacks the archive file `source` into the empty directory `root`, and writes the tree's record to `record`. On
    /// an error, what was written is still there, and good for nothing.
    ///
    /// # Errors
    /// Where the archive is refused, fails to meet `expected`, or can't be read or written; once interrupted.
    pub fn unpack<P: Policy>(
        &self,
        source: impl Read + Send,
        expected: Expected,
        root: OwnedFd,
        record: impl Write,
        mut policy: P,
    ) -> Result<Verified> {
        let hasher = match expected {
            Expected::File(_) => FileHasher::sha256(),
            Expected::Anything | Expected::Tar(_) => FileHasher::blake3(),
        };
        let mut source = Hashing::new(source, hasher);
        let with_sha512 = self.with_sha512 || matches!(expected, Expected::Tar(digest) if digest.is_sha512());
        let options = pipeline::Options {
            with_sha512,
            decoder_memory: self.limits.decoder_memory,
            interrupt: &self.interrupt,
        };
        let passed = pipeline::pass(&mut source, options, |stream| {
            let modes = if self.without_umask { Modes::AsMade } else { Modes::Set };
            let file_system = root.try_clone().context("cannot duplicate a descriptor")?;
            WriteBack::during(&file_system, |write_back| {
                let tree = Tree::new(root, self.limits.directories, Writer::new(record), modes, write_back);
                self.write(Reader::new(stream, self.limits), tree, &mut policy)
            })
        });
        let judged = passed.and_then(|passed| {
            let (digests, file) = (passed.digests, source.file());
            expected.check(&digests, file.digest)?;
            Ok(Outcome { digests, file, sealed: passed.value })
        });
        Ok(Verified(judged.map_err(refusal::judge)?))
    }

    fn write<P: Policy>(
        &self,
        mut reader: Reader<&mut pipeline::Stream<'_>>,
        mut tree: Tree<impl Write>,
        policy: &mut P,
    ) -> Result<Sealed> {
        while let Some(entry) = reader.next_entry()? {
            self.interrupt.check()?;
            let about = || format!("entry {}", escape_bytes(entry.path.as_bytes()));
            if policy.admit(&entry).with_context(about)? == Admission::Write {
                tree.add(&entry, &mut reader).with_context(about)?;
            }
        }
        policy.complete()?;
        tree.finish()
    }
}

/// Whether a file's digest is the expected one.
pub fn check_file(found: FileDigest, expected: Digest) -> Result<()> {
    ensure!(found == FileDigest::Sha256(expected), "the file's digest is {found}: expected {expected}");
    Ok(())
}

/// Whether a digest is the expected one.
fn check_digest(whose: &str, found: Digest, expected: Digest) -> Result<()> {
    ensure!(found == expected, "{whose} digest is {found}: expected {expected}");
    Ok(())
}
