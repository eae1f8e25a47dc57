// SPDX-License-Identifier: Apache-2.0
//! Blobs of OCI images: layers, configurations and manifests as they were fetched, each once, by its digest.
//!
//! A process that fetches or reads blobs shares a lock on their directory until the names of its image say that they are
//! needed ([`crate::names`]). A process that removes blobs locks the directory exclusively first, and reads the names
//! afterwards. Invariant: a blob is complete and had its digest when it was published; one that an image is made of, or
//! that a process is fetching, never vanishes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};

use pod::blob::{BlobDigest, BlobHasher};
use pod::digest::Digest;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, RenameFlags, fsync, openat, renameat_with, unlinkat};
use rustix::io::Errno;

use crate::data_dir::DataDir;
use crate::error::{About as _, Result};
use crate::names::{KeptBlob, Names};
use sys::{Interrupt, locks};

/// How much is hashed between two looks at the interrupt.
const PIECE: usize = 256 << 10;

/// The blobs in the data directory. None vanishes as long as this value lives.
#[derive(Debug)]
pub struct Blobs<'h> {
    data_dir: &'h DataDir,
    /// Holds the shared lock.
    _shared: OwnedFd,
}

impl<'h> Blobs<'h> {
    /// Opens the blobs, and waits for a process that removes some.
    ///
    /// # Errors
    /// If the system fails, or an interrupt ends the wait.
    pub fn open(data_dir: &'h DataDir) -> Result<Self> {
        let directory = reopen(data_dir)?;
        locks::share(&directory, &data_dir.interrupt).about(|| "cannot lock the blobs")?;
        Ok(Self { data_dir, _shared: directory })
    }

    /// Opens a blob, if it is there with this size. Its content is not verified.
    ///
    /// # Errors
    /// If it can't be opened.
    pub fn find(&self, digest: BlobDigest, size: u64) -> Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.data_dir.blobs, name(digest), flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::LOOP) => return Ok(None),
            opened => File::from(opened.about(|| format!("cannot open blob {digest}"))?),
        };
        let found = file.metadata().about(|| format!("cannot look at blob {digest}"))?;
        Ok((found.is_file() && found.len() == size).then_some(file))
    }

    /// Opens a blob if it is there and has this size and its digest. One that doesn't is removed, with a warning.
    ///
    /// # Errors
    /// If it can't be read, or an interrupt ends the work.
    pub fn find_intact(&self, digest: BlobDigest, size: u64) -> Result<Option<File>> {
        let Some(file) = self.find(digest, size)? else { return Ok(None) };
        if is_intact(&file, digest, &self.data_dir.interrupt)
            .about(|| format!("cannot read blob {digest}"))?
        {
            return Ok(Some(file));
        }
        self.data_dir.listener.warn(&format!("blob {digest} is damaged: it is removed"));
        remove(self.data_dir, &name(digest)).about(|| format!("cannot remove blob {digest}"))?;
        Ok(None)
    }

    /// Moves the file `file` of a staging directory, which has this digest, to its place among the blobs. If another
    /// process was faster, the file stays where it is, and goes with its directory.
    ///
    /// # Errors
    /// If the system fails.
    pub fn publish(&self, staging: impl AsFd, file: &str, digest: BlobDigest) -> Result<()> {
        let publish = || -> rustix::io::Result<()> {
            fsync(openat(
                &staging,
                file,
                OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )?)?;
            let flags = RenameFlags::NOREPLACE;
            match renameat_with(&staging, file, &self.data_dir.blobs, name(digest), flags) {
                Err(Errno::EXIST) => Ok(()),
                done => done,
            }
        };
        publish().about(|| format!("cannot keep blob {digest}"))
    }

    /// Has the names of all blobs published so far written to disk.
    ///
    /// # Errors
    /// If the system fails.
    pub fn sync(&self) -> Result<()> {
        fsync(&self.data_dir.blobs).about(|| "cannot sync the blobs")
    }

    /// Tells whether all of these blobs are there, by their sizes.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn has_all(&self, blobs: &[KeptBlob]) -> Result<bool> {
        for blob in blobs {
            if self.find(blob.digest, blob.size)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Tells whether a file has this digest.
fn is_intact(mut file: &File, digest: BlobDigest, interrupt: &Interrupt) -> io::Result<bool> {
    let mut hasher: BlobHasher = digest.hasher();
    let mut piece = vec![0; PIECE];
    loop {
        interrupt.check()?;
        match file.read(&mut piece)? {
            0 => break,
            count => hasher.update(&piece[..count]),
        }
    }
    io::Seek::rewind(&mut file)?;
    Ok(hasher.finish() == digest)
}

/// Removes all blobs that no image is made of, unless a process is fetching or reading some. What Gantry gives no name
/// of this form stays.
///
/// # Errors
/// If the system fails.
pub fn sweep(data_dir: &DataDir) -> Result<()> {
    let found = all(data_dir)?;
    if found.is_empty() {
        return Ok(());
    }
    let directory = reopen(data_dir)?;
    if !locks::try_lock_alone(&directory).about(|| "cannot lock the blobs")? {
        return Ok(());
    }
    // Only now that the directory is locked: see the module's documentation.
    let needed = Names::read(data_dir)?.blobs();
    for digest in found.difference(&needed) {
        remove(data_dir, &name(*digest)).about(|| format!("cannot remove blob {digest}"))?;
    }
    Ok(())
}

fn all(data_dir: &DataDir) -> Result<BTreeSet<BlobDigest>> {
    let mut all = BTreeSet::new();
    for entry in Dir::read_from(&data_dir.blobs).about(|| "cannot list the blobs")? {
        let entry = entry.about(|| "cannot list the blobs")?;
        let digest = entry.file_name().to_str().ok().and_then(|name| name.parse::<Digest>().ok());
        all.extend(digest.map(BlobDigest::from));
    }
    Ok(all)
}

/// Opens the directory anew: a lock belongs to an open file description, and this one's ends with it.
fn reopen(data_dir: &DataDir) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(&data_dir.blobs, ".", flags, Mode::empty()).about(|| "cannot open the blobs")
}

fn remove(data_dir: &DataDir, name: &str) -> rustix::io::Result<()> {
    match unlinkat(&data_dir.blobs, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        done => done,
    }
}

/// Returns a blob's name in the directory.
fn name(digest: BlobDigest) -> String {
    Digest::from(digest).to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;
    use crate::listener::Silent;
    use crate::names::{BlobKind, Names};
    use crate::staging::Staging;
    use crate::staging::tests::nobody_starts;
    use pod::id::TreeId;

    fn data_dir() -> (tempfile::TempDir, DataDir) {
        let outer = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(&outer.path().join("dir"), &Interrupt::default(), &Silent).unwrap();
        (outer, data_dir)
    }

    fn put(data_dir: &DataDir, blobs: &Blobs<'_>, content: &[u8]) -> BlobDigest {
        let staging = Staging::create(data_dir).unwrap();
        staging.create_file("blob").unwrap().write_all(content).unwrap();
        let digest = BlobDigest::sha256(content);
        blobs.publish(&staging, "blob", digest).unwrap();
        digest
    }

    fn need(data_dir: &DataDir, digest: BlobDigest, size: u64) {
        let blob = KeptBlob { kind: BlobKind::Layer, media_type: None, digest, size };
        let keep = |names: &mut Names| {
            names.of_mut(TreeId::of_tar([7; 32].into())).blobs.push(blob);
            Ok::<(), crate::Error>(())
        };
        Names::change(data_dir, keep).unwrap();
    }

    #[gate::root_test]
    fn a_blob_stays_as_long_as_something_needs_it() {
        let _nobody_starts = nobody_starts();
        let (_outer, data_dir) = data_dir();
        let blobs = Blobs::open(&data_dir).unwrap();
        let (one, two) = (put(&data_dir, &blobs, b"one"), put(&data_dir, &blobs, b"two"));
        assert_eq!(put(&data_dir, &blobs, b"one"), one, "it may be there already");
        sweep(&data_dir).unwrap();
        assert!(blobs.find(two, 3).unwrap().is_some(), "they are being fetched");
        need(&data_dir, one, 3);
        drop(blobs);
        sweep(&data_dir).unwrap();
        let blobs = Blobs::open(&data_dir).unwrap();
        assert!(blobs.find(one, 3).unwrap().is_some(), "an image is made of it");
        assert!(blobs.find(one, 4).unwrap().is_none(), "it has another size");
        assert!(blobs.find(two, 3).unwrap().is_none(), "nothing needs it");
        drop(blobs);
        super::super::names::sweep(&data_dir).unwrap();
        sweep(&data_dir).unwrap();
        assert!(all(&data_dir).unwrap().is_empty(), "the store doesn't have the image");
    }

    #[gate::root_test]
    fn a_damaged_blob_is_no_blob() {
        let _nobody_starts = nobody_starts();
        let (outer, data_dir) = data_dir();
        let blobs = Blobs::open(&data_dir).unwrap();
        let digest = put(&data_dir, &blobs, b"one");
        assert!(blobs.find_intact(digest, 3).unwrap().is_some());
        let path = outer.path().join("dir").join(pod::layout::BLOBS).join(name(digest));
        fs::write(&path, "two").unwrap();
        assert!(blobs.find_intact(digest, 3).unwrap().is_none());
        assert!(!path.exists(), "it is removed");
    }
}
