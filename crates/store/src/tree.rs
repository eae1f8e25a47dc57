// SPDX-License-Identifier: Apache-2.0
//! A tree that is in the store, complete and locked against removal.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use pod::digest::Digest;
use pod::layout;
use rustix::fs::{Dir, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::damage::told_apart;
use crate::home::{Home, check_guarded};
use crate::info::{INFO_MAX, Info, Kind};
use crate::lock;
use crate::staging::{Locked, is_called, open_below};
use report::hinted;
use sys::InRoot;

/// How often a tree is opened anew that is replaced in between.
const ATTEMPTS: usize = 64;

/// A tree of the store. It stays there as long as this value lives.
#[derive(Debug)]
pub struct Tree {
    id: Digest,
    info: Info,
    /// It has the shared lock.
    directory: OwnedFd,
}

/// What the store has by an id.
#[derive(Debug)]
pub enum Found {
    /// No such tree.
    Nothing,
    /// All parts of it.
    Whole(Box<Tree>),
    /// Something else, and why.
    Damaged(anyhow::Error),
}

impl Tree {
    /// The tree `id`, which is a sha256; `None` where the store has none.
    ///
    /// # Errors
    /// Where what the store has is no complete tree, or of another kind.
    pub fn open(home: &Home, id: Digest, kind: Kind) -> Result<Option<Self>> {
        let Some(tree) = Self::open_any(home, id)? else { return Ok(None) };
        let found = tree.info.kind;
        ensure!(found == kind, "{id} is no {}: it is in the store as {}", kind.shown(), found.shown());
        Ok(Some(tree))
    }

    /// Likewise, of any kind.
    pub fn open_any(home: &Home, id: Digest) -> Result<Option<Self>> {
        match Self::look(home, id)? {
            Found::Nothing => Ok(None),
            Found::Whole(tree) => Ok(Some(*tree)),
            Found::Damaged(error) => Err(error),
        }
    }

    /// What the store has as `id`.
    ///
    /// # Errors
    /// Where that can't be known.
    pub fn look(home: &Home, id: Digest) -> Result<Found> {
        let about = || format!("cannot open tree {id}");
        let Some(directory) = lock_shared(home, id).with_context(about)? else { return Ok(Found::Nothing) };
        Ok(match told_apart(look(&directory, id)).with_context(about)? {
            Ok(info) => Found::Whole(Box::new(Self { id, info, directory })),
            Err(error) => Found::Damaged(damaged(id, error)),
        })
    }

    /// The tree that was just published.
    pub(crate) fn published(id: Digest, info: Info, locked: Locked) -> Self {
        Self { id, info, directory: locked.directory }
    }

    /// The sha256 of its tar.
    pub fn id(&self) -> Digest {
        self.id
    }

    /// What is said about it.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The archive's root.
    pub fn root(&self) -> Result<OwnedFd> {
        open_below(&self.directory, layout::TREE)
    }

    /// The archive's root, to read in as an app would.
    pub fn in_root(&self, path: &str) -> io::Result<InRoot> {
        InRoot::open_at(&self.directory, &format!("{}/{path}", layout::TREE))
    }

    /// What was recorded of every object in it.
    pub(crate) fn record(&self) -> Result<BufReader<File>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.directory, layout::TREE_RECORD, flags, Mode::empty());
        Ok(BufReader::with_capacity(1 << 17, File::from(file.context("cannot open its record")?)))
    }
}

fn damaged(id: Digest, error: anyhow::Error) -> anyhow::Error {
    let error = error.context(format!("tree {id} in the store is damaged"));
    hinted(error, "installer verify --repair sets it right, or takes it out")
}

/// Reads what a tree is, and looks whether it is this one, and nobody else's to change.
fn look(directory: &OwnedFd, id: Digest) -> Result<Info> {
    check_guarded(directory)?;
    let info = read_info(directory)?;
    ensure!(info.id == id, "it is tree {}: expected {id}", info.id);
    Ok(info)
}

/// Reads what a tree is, and looks whether all of its parts are there.
pub(crate) fn read_info(directory: &OwnedFd) -> Result<Info> {
    // A FIFO in its place must not be waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = |name: &str, flags| -> Result<File> {
        let opened = openat(directory, name, flags, Mode::empty());
        Ok(File::from(opened.with_context(|| format!("cannot open its {name}"))?))
    };
    let mut text = Vec::new();
    open(layout::TREE_INFO, flags)?.take(INFO_MAX).read_to_end(&mut text).context("cannot read its info")?;
    let info: Info = serde_json::from_slice(&text).context("its info is none")?;
    let found = open(layout::TREE_RECORD, flags)?.metadata()?.len();
    ensure!(found == info.record, "its record has {found} bytes: expected {}", info.record);
    open(layout::TREE, flags | OFlags::DIRECTORY)?;
    Ok(info)
}

/// The ids of all that is in the store.
pub fn ids(home: &Home) -> Result<Vec<Digest>> {
    let mut all = Vec::new();
    for entry in Dir::read_from(&home.trees).context("cannot list the store")? {
        let entry = entry.context("cannot list the store")?;
        // Names that Gantry does not give are not its own.
        all.extend(entry.file_name().to_str().ok().and_then(|name| name.parse::<Digest>().ok()));
    }
    all.sort_unstable();
    Ok(all)
}

/// The name of a tree's directory.
pub(crate) fn name(id: Digest) -> CString {
    CString::new(id.to_string()).expect("a digest has no NUL")
}

/// Opens and locks a tree's directory. Who removes one holds the lock for a moment, so this waits.
pub(crate) fn lock_shared(home: &Home, id: Digest) -> Result<Option<OwnedFd>> {
    let (name, flags) = (name(id), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC);
    for _ in 0..ATTEMPTS {
        let directory = match openat(&home.trees, &name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened?,
        };
        lock::share(&directory, &home.interrupt).context("cannot lock it")?;
        if is_called(home.trees.as_fd(), &name, &directory)? {
            return Ok(Some(directory));
        }
    }
    Err(Errno::AGAIN).context("it is replaced again and again: expected it to stay")
}
