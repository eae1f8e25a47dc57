// SPDX-License-Identifier: Apache-2.0
//! Trees of the store that are complete and locked against removal.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::os::fd::OwnedFd;

use pod::id::TreeId;
use pod::layout;
use rustix::fs::{Dir, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::damage::damage_or_error;
use crate::data_dir::{DataDir, check_owner};
use crate::error::{About as _, Error, Result};
use crate::fault::{Fault, Within as _, ensure};
use crate::info::{INFO_MAX, INFO_USUAL, Info, TreeKind};
use crate::staging::{Locked, open_below};
use sys::InRoot;
use sys::locks;

pub(crate) use sys::locks::Unlocked;

/// A tree of the store. It stays there as long as this value lives.
#[derive(Debug)]
pub struct Tree {
    id: TreeId,
    info: Info,
    /// The tree's directory. This descriptor holds the shared lock.
    directory: OwnedFd,
}

/// The state of an id in the store.
#[derive(Debug)]
pub enum Found {
    /// No such tree.
    Nothing,
    /// A tree with all of its parts.
    Whole(Box<Tree>),
    /// Something other than a complete tree; the error says why.
    Damaged(Fault),
}

impl Tree {
    /// Opens the tree `id`; returns `None` if the store has none.
    ///
    /// # Errors
    /// If what the store has is not a complete tree, or is of another kind.
    pub fn open(data_dir: &DataDir, id: TreeId, kind: TreeKind) -> Result<Option<Self>> {
        let Some(tree) = Self::open_any(data_dir, id)? else { return Ok(None) };
        let found = tree.info.kind;
        if found == kind { Ok(Some(tree)) } else { Err(Error::OtherKind { id, expected: kind, found }) }
    }

    /// Opens a tree like [`Self::open`], but of any kind.
    pub fn open_any(data_dir: &DataDir, id: TreeId) -> Result<Option<Self>> {
        match Self::look(data_dir, id)? {
            Found::Nothing => Ok(None),
            Found::Whole(tree) => Ok(Some(*tree)),
            Found::Damaged(fault) => Err(Error::Damaged(id, fault)),
        }
    }

    /// Examines what the store has as `id`.
    ///
    /// # Errors
    /// If that can't be examined.
    pub fn look(data_dir: &DataDir, id: TreeId) -> Result<Found> {
        let about = || format!("cannot open tree {id}");
        let Some(directory) = lock_shared(data_dir, id).about(about)? else {
            return Ok(Found::Nothing);
        };
        Ok(match damage_or_error(look(&directory, id)).about(about)? {
            Ok(info) => Found::Whole(Box::new(Self { id, info, directory })),
            Err(fault) => Found::Damaged(fault),
        })
    }

    /// Returns the tree that was just published.
    pub(crate) fn published(id: TreeId, info: Info, locked: Locked) -> Self {
        Self { id, info, directory: locked.directory }
    }

    /// Returns its id.
    pub fn id(&self) -> TreeId {
        self.id
    }

    /// Returns the tree's info.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Opens the archive's root.
    pub fn root(&self) -> Result<OwnedFd, Fault> {
        open_below(&self.directory, layout::TREE)
    }

    /// Opens the directory `path` of the archive, to read in it as an app would.
    pub fn in_root(&self, path: &str) -> io::Result<InRoot> {
        Ok(InRoot::below(&self.directory, &format!("{}/{path}", layout::TREE))?)
    }

    /// Opens the record of every object in the tree.
    pub(crate) fn record(&self) -> Result<BufReader<File>, Fault> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.directory, layout::TREE_RECORD, flags, Mode::empty());
        Ok(BufReader::with_capacity(1 << 17, File::from(file.within(|| "cannot open its record")?)))
    }
}

/// Reads a tree's info, and checks that it is the tree `id` and that no other user can change it.
fn look(directory: &OwnedFd, id: TreeId) -> Result<Info, Fault> {
    check_owner(directory)?;
    let info = read_info(directory)?;
    ensure!(info.id == id, "it is tree {}: expected {id}", info.id);
    Ok(info)
}

/// Reads a tree's info, and checks that all parts of the tree are there.
pub(crate) fn read_info(directory: &OwnedFd) -> Result<Info, Fault> {
    // Opening a FIFO in a part's place must not wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = |name: &str, flags| -> Result<File, Fault> {
        let opened = openat(directory, name, flags, Mode::empty());
        Ok(File::from(opened.within(|| format!("cannot open its {name}"))?))
    };
    let mut text = Vec::with_capacity(INFO_USUAL);
    open(layout::TREE_INFO, flags)?
        .take(INFO_MAX)
        .read_to_end(&mut text)
        .within(|| "cannot read its info")?;
    let info: Info =
        serde_json::from_slice(&text).map_err(Fault::content).within(|| "its info is invalid")?;
    let found = open(layout::TREE_RECORD, flags)?.metadata()?.len();
    ensure!(found == info.record, "its record has {found} bytes: expected {}", info.record);
    open(layout::TREE, flags | OFlags::DIRECTORY)?;
    Ok(info)
}

/// Reads the info of a tree without locking it; `None` if there is no such tree, or its info is damaged.
pub(crate) fn info_of(data_dir: &DataDir, id: TreeId) -> Result<Option<Info>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(&data_dir.trees, name(id), flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        opened => Ok(damage_or_error(read_info(&opened?))?.ok()),
    }
}

/// Returns the ids of all trees in the store.
pub fn ids(data_dir: &DataDir) -> Result<Vec<TreeId>> {
    let mut all = Vec::new();
    for entry in Dir::read_from(&data_dir.trees).about(|| "cannot list the store")? {
        let entry = entry.about(|| "cannot list the store")?;
        // Gantry gives no names of another form, so those are not its own.
        all.extend(entry.file_name().to_str().ok().and_then(|name| name.parse::<TreeId>().ok()));
    }
    all.sort_unstable();
    Ok(all)
}

/// Returns the ids of all trees in the store: those that others are rendered of before these.
pub fn ids_in_order(data_dir: &DataDir) -> Result<Vec<TreeId>> {
    let is_rendered = |id| Ok::<_, Error>(info_of(data_dir, id)?.is_some_and(|info| info.recipe.is_some()));
    let keyed = ids(data_dir)?.into_iter().map(|id| Ok((is_rendered(id)?, id)));
    let mut keyed = keyed.collect::<Result<Vec<(bool, TreeId)>>>()?;
    keyed.sort_unstable();
    Ok(keyed.into_iter().map(|(_, id)| id).collect())
}

/// Returns the name of a tree's directory.
pub(crate) fn name(id: TreeId) -> CString {
    CString::new(id.to_string()).expect("a digest has no NUL")
}

/// Opens a tree's directory and takes a shared lock on it.
///
/// This waits for the lock, since a process that removes a tree holds it only for a moment.
pub(crate) fn lock_shared(data_dir: &DataDir, id: TreeId) -> Result<Option<OwnedFd>, Unlocked> {
    locks::lock_shared(&data_dir.trees, &name(id), &data_dir.interrupt)
}
