// SPDX-License-Identifier: Apache-2.0
//! The trees of the store that a pod needs, found and locked.
//!
//! A process that removes a tree first locks the tree's directory exclusively; a process that uses a tree takes a
//! shared lock. Before the lock is taken, the tree's name may be removed or given to another tree, so the name is
//! looked up again afterwards. Invariant: a tree in here stays where it is as long as one of its descriptors is open,
//! in this process or in one that it forked.
//!
//! The store is guarded, because write access to it decides what pods run.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail};
use pod::id::TreeId;
use pod::layout;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::{Errno, retry_on_intr};
use sys::locks::identity;
use sys::{Error, InRoot, guarded};

/// How often to try to open a tree that is being replaced, for example by a repair.
const ATTEMPTS: usize = 16;
/// The path from a pod directory to DIR.
const HOME: &str = "../..";

/// Trees of the store, by their names.
#[derive(Debug, Default)]
pub struct Store(BTreeMap<TreeId, OwnedFd>);

impl Store {
    /// Opens and locks these trees, from a pod directory.
    pub(crate) fn open(pod: impl AsFd, trees: &[TreeId]) -> Result<Self> {
        let mut opened = BTreeMap::new();
        // A pod without such trees may have no store.
        let home = (!trees.is_empty()).then(|| home(pod)).transpose()?;
        for (tree, home) in trees.iter().zip(home.iter().cycle()) {
            opened.insert(*tree, open_locked(home, tree).with_context(|| format!("tree {tree}"))?);
        }
        Ok(Self(opened))
    }

    /// Opens the same trees again, in this process's current mount namespace.
    ///
    /// Descriptors that were opened in another mount namespace belong to its mounts, also after the process has left
    /// it. The mounts of another namespace can't be layers.
    pub(crate) fn reopen(&self, pod: impl AsFd) -> Result<Self> {
        let home = home(pod)?;
        let mut opened = BTreeMap::new();
        for (tree, locked) in &self.0 {
            let again = open(&home, tree)?.filter(|again| is_same(again, locked).unwrap_or(false));
            opened
                .insert(*tree, again.with_context(|| format!("tree {tree} is not the one that was locked"))?);
        }
        Ok(Self(opened))
    }

    /// Opens the root of a tree.
    pub(crate) fn tree(&self, tree: &TreeId) -> Result<InRoot> {
        let directory = self.0.get(tree).with_context(|| format!("tree {tree} is none of the pod's"))?;
        InRoot::below(directory, layout::TREE).with_context(|| format!("cannot open tree {tree}"))
    }

    /// Lists the descriptors that lock the trees.
    pub(crate) fn locks(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.values().map(AsFd::as_fd)
    }
}

/// Opens the directory that contains both the pod directory and the store.
fn home(pod: impl AsFd) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let home = openat(pod, HOME, flags, Mode::empty()).context("cannot open the data directory")?;
    guarded::check(&home).context("the data directory")?;
    Ok(home)
}

fn open_locked(home: &OwnedFd, tree: &TreeId) -> Result<OwnedFd> {
    for _ in 0..ATTEMPTS {
        let Some(directory) = open(home, tree)? else {
            bail!("it is not in the store: expected what it was made of to be imported again")
        };
        retry_on_intr(|| flock(&directory, FlockOperation::LockShared)).context("cannot lock it")?;
        if let Some(again) = open(home, tree)?
            && is_same(&again, &directory)?
        {
            return Ok(directory);
        }
    }
    bail!("it is replaced again and again")
}

/// Opens a tree's directory, if it is there.
fn open(home: &OwnedFd, tree: &TreeId) -> Result<Option<OwnedFd>> {
    let path = format!("{}/{tree}", layout::TREES);
    let mut last = None;
    for path in [layout::STORE, layout::TREES, &path] {
        let directory = match InRoot::below(home, path) {
            Err(error) if error.errno == Errno::NOENT => return Ok(None),
            opened => opened.with_context(|| format!("cannot open {path}"))?,
        };
        guarded::check(&directory).with_context(|| format!("directory {path}"))?;
        last = Some(directory);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // An `O_PATH` descriptor can't be locked.
    last.map(|directory| openat(&directory, ".", flags, Mode::empty())).transpose().context("cannot open it")
}

fn is_same(one: &OwnedFd, other: &OwnedFd) -> Result<bool, Error> {
    Ok(identity(one)? == identity(other)?)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::*;

    const TREE: TreeId = TreeId::of_tar(pod::digest::Sha256::new([7; 32]));

    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Self {
            let home = Self(tempfile::tempdir().unwrap());
            fs::create_dir_all(home.path("containers/pod")).unwrap();
            fs::create_dir_all(home.tree().join("tree")).unwrap();
            home
        }

        fn path(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn tree(&self) -> PathBuf {
            self.path(layout::TREES).join(TREE.to_string())
        }

        fn pod(&self) -> File {
            File::open(self.path("containers/pod")).unwrap()
        }

        fn open(&self) -> Result<Store> {
            Store::open(self.pod(), &[TREE])
        }

        fn error(&self) -> String {
            format!("{:#}", self.open().unwrap_err())
        }
    }

    fn mode(path: PathBuf, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_tree_is_locked_as_long_as_it_is_used() {
        let home = Home::new();
        let store = home.open().unwrap();
        let other = File::open(home.tree()).unwrap();
        home.open().unwrap();
        let alone = || flock(&other, FlockOperation::NonBlockingLockExclusive);
        assert!(alone().is_err(), "it is in use");
        store.tree(&TREE).unwrap();
        drop(store);
        alone().unwrap();
    }

    #[test]
    fn what_has_a_trees_name_now_is_another_tree() {
        let home = Home::new();
        let store = home.open().unwrap();
        store.reopen(home.pod()).unwrap();
        fs::rename(home.tree(), home.path("old")).unwrap();
        assert!(store.reopen(home.pod()).is_err());
        fs::create_dir_all(home.tree().join("tree")).unwrap();
        assert!(store.reopen(home.pod()).is_err());
    }

    #[test]
    fn a_tree_that_was_removed_before_the_lock_was_there_is_missing() {
        let home = Home::new();
        let remover = File::open(home.tree()).unwrap();
        flock(&remover, FlockOperation::LockExclusive).unwrap();
        let pod = home.pod();
        let waiting = std::thread::spawn(move || Store::open(pod, &[TREE]));
        // Whether the thread waits for the lock by now or comes later, it must not take the removed tree.
        fs::rename(home.tree(), home.path("old")).unwrap();
        drop(remover);
        assert!(format!("{:#}", waiting.join().unwrap().unwrap_err()).contains("is not in the store"));
    }

    #[test]
    fn a_store_that_others_may_write_to_is_refused() {
        for path in [PathBuf::from(layout::STORE), layout::TREES.into(), Home::new().tree()] {
            for (bad, good) in [(0o770, 0o700), (0o702, 0o755)] {
                let home = Home::new();
                let path = if path.is_absolute() { home.tree() } else { home.0.path().join(&path) };
                mode(path.clone(), bad);
                assert!(home.error().contains("can write there"), "{}", home.error());
                mode(path, good);
                home.open().unwrap();
            }
        }
    }

    #[test]
    fn no_link_is_followed_to_a_store_or_tree() {
        for path in [layout::STORE, layout::TREES] {
            let home = Home::new();
            fs::rename(home.path(path), home.path("moved")).unwrap();
            symlink(home.path("moved"), home.path(path)).unwrap();
            assert!(home.open().is_err(), "{path}");
        }
        let home = Home::new();
        fs::rename(home.tree(), home.path("moved")).unwrap();
        symlink(home.path("moved"), home.tree()).unwrap();
        assert!(home.open().is_err());
    }

    #[test]
    fn a_pod_without_trees_needs_no_store() {
        let home = Home::new();
        fs::remove_dir_all(home.path(layout::STORE)).unwrap();
        Store::open(home.pod(), &[]).unwrap();
        assert!(home.error().contains("is not in the store"), "{}", home.error());
    }
}
