// SPDX-License-Identifier: Apache-2.0
//! An archive → a tree in a directory, verified.
//!
//! Invariant: [`Verified`] can only be had from a pass that saw the whole archive, wrote all of it, kept the policy's
//! rules and met the expected digest. What publishes trees takes nothing else.

mod directories;
mod metadata;
mod tree;

use std::io::{self, Read};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail, ensure};
use pod::digest::Digest;
use pod::text::escape_bytes;
use sha2::{Digest as _, Sha256};

use crate::archive::pipeline::{self, Digests};
use crate::archive::{Entry, Limits, Reader};
use crate::interrupt::Interrupt;
use tree::Tree;

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

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is written.
    Write,
    /// It says nothing.
    Ignore,
}

/// What an archive must hash to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Whatever: the digest becomes its name.
    Anything,
    /// This, for the decoded tar stream.
    Tar(Digest),
    /// This, for the file as it is.
    File(Digest),
}

/// A tree from a whole archive that kept the policy's rules and met its digest.
#[derive(Debug)]
pub struct Verified<P> {
    digests: Digests,
    policy: P,
}

impl<P> Verified<P> {
    /// What the tar stream hashes to.
    pub fn digests(&self) -> Digests {
        self.digests
    }

    /// What it is called by where nobody says otherwise: the sha256 of the tar stream.
    pub fn digest(&self) -> Digest {
        self.digests.sha256
    }

    /// What the policy learnt.
    pub fn policy(&self) -> &P {
        &self.policy
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
}

impl Unpacker {
    /// Unpacks the archive file `source` into the empty directory `root`. On an error, what was written is still
    /// there, and good for nothing.
    ///
    /// # Errors
    /// Where the archive is refused, fails to meet `expected`, or can't be read or written; once interrupted.
    pub fn unpack<P: Policy>(
        &self,
        source: impl Read + Send,
        expected: Expected,
        root: OwnedFd,
        mut policy: P,
    ) -> Result<Verified<P>> {
        let hash_file = matches!(expected, Expected::File(_)).then(Sha256::new);
        let mut source = Hashing { inner: source, hasher: hash_file };
        let with_sha512 = self.with_sha512 || matches!(expected, Expected::Tar(digest) if digest.is_sha512());
        let passed = pipeline::pass(&mut source, with_sha512, &self.interrupt, |stream| {
            self.write(Reader::new(stream, self.limits), root, &mut policy)
        })?;
        match expected {
            Expected::Anything => {}
            Expected::Tar(digest) => {
                let found = passed.digests.like(digest).context("the tar's sha512 was not taken")?;
                check_digest("the tar's", found, digest)?;
            }
            Expected::File(digest) => check_digest("the file's", source.digest()?, digest)?,
        }
        Ok(Verified { digests: passed.digests, policy })
    }

    fn write<P: Policy>(
        &self,
        mut reader: Reader<&mut pipeline::Stream<'_>>,
        root: OwnedFd,
        policy: &mut P,
    ) -> Result<()> {
        let mut tree = Tree::new(root, self.limits.directories);
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

/// Whether a digest is the expected one.
pub(crate) fn check_digest(whose: &str, found: Digest, expected: Digest) -> Result<()> {
    ensure!(found == expected, "{whose} digest is {found}: expected {expected}");
    Ok(())
}

/// A reader that may hash what passes.
struct Hashing<R> {
    inner: R,
    hasher: Option<Sha256>,
}

impl<R> Hashing<R> {
    fn digest(self) -> Result<Digest> {
        let Some(hasher) = self.hasher else { bail!("the file was not hashed") };
        Ok(Digest::Sha256(hasher.finalize().into()))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&into[..count]);
        }
        Ok(count)
    }
}
