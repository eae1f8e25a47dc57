// SPDX-License-Identifier: Apache-2.0
//! Unpacks an archive into a directory and verifies it.
//!
//! Invariant: a [`Verified`] exists only after a pass that read the whole archive, wrote all of it, kept the policy's
//! rules and met the expected digest. The pass ran in this process or in a [worker](crate::unpacker) that has reported
//! its success. The code that publishes trees accepts nothing else.

mod archive_file;
mod content;
mod directories;
pub mod layers;
mod links;
mod listing;
pub mod metadata;
mod refusal;
mod tree_writer;
mod write_back;

use std::io::Read;
use std::os::fd::OwnedFd;

use pod::digest::{Digest, Sha256};
use pod::id::TreeId;
use pod::text::escape_bytes;
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Result, Within as _, check, ensure};
use crate::record::{Output, Sealed, Writer};
use archive::pipeline::{self, Digests};
use archive::{Entry, Limits, Reader, Skipped};
use archive_file::Hashing;
use metadata::Modes;
use sys::Interrupt;
use tree_writer::TreeWriter;
use write_back::WriteBack;

pub use archive_file::FileHasher;
pub use archive_file::{ArchiveFile, FileDigest};
pub use refusal::Refused;
pub use tree_writer::open_directory;

/// The rules for the content of one kind of archive. Each entry has to keep them, also one that a later entry with its
/// name replaces.
pub trait Policy {
    /// Checks an entry before any of it is written.
    ///
    /// # Errors
    /// If the entry is not allowed in this kind of archive.
    fn admit(&mut self, entry: &Entry) -> Result<Admission, Breach>;

    /// Checks for missing entries once the archive has ended.
    ///
    /// # Errors
    /// If an entry is missing.
    fn complete(&self) -> Result<(), Breach>;
}

impl Policy for Box<dyn Policy> {
    fn admit(&mut self, entry: &Entry) -> Result<Admission, Breach> {
        self.as_mut().admit(entry)
    }

    fn complete(&self) -> Result<(), Breach> {
        self.as_ref().complete()
    }
}

/// A breach of the format's rules by an archive. Only the content can cause it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Breach(pub String);

impl Breach {
    /// Checks what a rule says.
    ///
    /// # Errors
    /// Returns the breach for this reason unless the condition holds.
    pub fn unless<W: Into<String>>(condition: bool, why: impl FnOnce() -> W) -> Result<(), Self> {
        if condition { Ok(()) } else { Err(Self(why().into())) }
    }
}

impl From<Breach> for Fault {
    fn from(breach: Breach) -> Self {
        Self::Content(breach.0)
    }
}

/// A decision about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is written.
    Write,
    /// It is skipped.
    Ignore,
}

/// The digest that an archive must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expected {
    /// Any digest: the tree is named after the one found.
    Anything,
    /// This digest of the decoded tar stream.
    Tar(Digest),
    /// This digest of the file as it is.
    File(Sha256),
}

impl Expected {
    fn check(self, tar: &Digests, file: FileDigest) -> Result<()> {
        match self {
            Self::Anything => Ok(()),
            Self::Tar(digest) => {
                let found =
                    tar.like(digest).ok_or_else(|| Fault::content("the tar's sha512 was not taken"))?;
                check_digest("the tar's", found, digest)
            }
            Self::File(digest) => check_file(file, digest),
        }
    }
}

/// Proof that a tree comes from a whole archive that kept its policy's rules and met its digest.
#[derive(Clone, Debug)]
pub struct Verified(Extracted);

/// The result of unpacking an archive, as a worker reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extracted {
    digests: Digests,
    file: ArchiveFile,
    sealed: Sealed,
    skipped: Skipped,
}

impl Verified {
    /// Accepts a worker's report of a tree that it has unpacked completely.
    ///
    /// # Errors
    /// If the reported digests differ from the `expected` one, in which case the worker should have failed.
    pub fn by_worker(extracted: Extracted, expected: Expected) -> Result<Self> {
        expected.check(&extracted.digests, extracted.file.digest)?;
        Ok(Self(extracted))
    }

    /// Returns all that is known about the tree.
    pub fn extracted(self) -> Extracted {
        self.0
    }

    /// Returns the attributes that the archive has and the tree does not.
    pub fn skipped(&self) -> &Skipped {
        &self.0.skipped
    }

    /// Returns the digests of the tar stream.
    pub fn digests(&self) -> Digests {
        self.0.digests
    }

    /// Returns the tree's id: the sha256 of the tar stream.
    pub fn id(&self) -> TreeId {
        TreeId::of_tar(self.0.digests.sha256)
    }

    /// Returns the digest and length of the archive's file.
    pub fn file(&self) -> ArchiveFile {
        self.0.file
    }

    /// Returns the number of objects in the tree, its root included.
    pub fn objects(&self) -> u64 {
        self.0.sealed.objects
    }

    /// Returns the total size of the files' content in bytes.
    pub fn size(&self) -> u64 {
        self.0.sealed.size
    }
}

/// The options for unpacking archives.
#[derive(Clone, Debug, Default)]
pub struct Unpacker {
    /// Limits on what an archive may ask for.
    pub limits: Limits,
    /// Ends the unpacking early.
    pub interrupt: Interrupt,
    /// Whether the sha512 of the tar stream is computed too.
    pub with_sha512: bool,
    /// Whether this process has an umask of 0, so that modes need not be set after creation.
    pub without_umask: bool,
}

impl Unpacker {
    /// Unpacks the archive file `source` into the empty directory `root`, and writes the tree's record to `record`.
    ///
    /// On an error, the directory and the record keep what was written so far. It is incomplete and must not be used.
    ///
    /// # Errors
    /// If the archive is refused ([`Refused::of`]), doesn't meet `expected`, or can't be read or written; once
    /// interrupted.
    pub fn unpack<P: Policy>(
        &self,
        source: impl Read + Send,
        expected: Expected,
        root: OwnedFd,
        record: impl Output,
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
            let file_system = root.try_clone().within(|| "cannot duplicate a descriptor")?;
            WriteBack::during(&file_system, |write_back| {
                let tree =
                    TreeWriter::new(root, self.limits.directories, Writer::new(record), modes, write_back);
                self.write(Reader::new(stream, self.limits), tree, &mut policy)
            })
        });
        let judged = passed.and_then(|passed| {
            let (digests, file) = (passed.digests, source.file());
            expected.check(&digests, file.digest)?;
            let (sealed, skipped) = passed.value;
            Ok(Extracted { digests, file, sealed, skipped })
        });
        judged.map(Verified)
    }

    fn write<P: Policy>(
        &self,
        mut reader: Reader<&mut pipeline::Stream<'_>>,
        mut tree: TreeWriter<impl Output>,
        policy: &mut P,
    ) -> Result<(Sealed, Skipped)> {
        while let Some(entry) = reader.next_entry()? {
            check(&self.interrupt)?;
            let about = || format!("entry {}", escape_bytes(entry.path.as_bytes()));
            if policy.admit(&entry).within(about)? == Admission::Write {
                tree.add(&entry, &mut reader).within(about)?;
            }
        }
        policy.complete()?;
        let sealed = tree.finish(self.limits.directories, &self.interrupt)?;
        Ok((sealed, reader.skipped().clone()))
    }
}

/// Checks that a file's digest is the expected one.
pub fn check_file(found: FileDigest, expected: Sha256) -> Result<()> {
    ensure!(found == FileDigest::Sha256(expected), "the file's digest is {found}: expected {expected}");
    Ok(())
}

/// Checks that a digest is the expected one.
fn check_digest(whose: &str, found: Digest, expected: Digest) -> Result<()> {
    ensure!(found == expected, "{whose} digest is {found}: expected {expected}");
    Ok(())
}
