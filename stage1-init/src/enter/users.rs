// SPDX-License-Identifier: Apache-2.0
//! Maps the owners of files in a mount. On disk, a tree's ids are those of its image, from 0 on. If the pod's users are
//! not the host's, a mount of the tree maps them to ids that nothing else on the host uses. So nothing is changed on
//! disk, and the next start may use other ids.

use std::cell::RefCell;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, mkdirat};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::fchdir;
use sys::mounts::{Depth, MountAttrFlags, Submounts, attach, clone_tree_at, create, map_ids};
use sys::users::{self, Map, acting_as};
use sys::{CalledOn as _, InRoot};

use crate::failure::namespace;
use crate::load::ids::BLOCK;

/// The users of a tree.
#[derive(Debug)]
pub(crate) struct Users(Option<Mapped>);

/// A block of ids, and a namespace that maps the ids from 0 on to it.
#[derive(Debug)]
struct Mapped {
    first: u32,
    namespace: OwnedFd,
}

impl Users {
    /// Returns the users whose root is the host's user `first`; `None` means the host's own users.
    pub(crate) fn new(first: Option<u32>) -> Result<Self> {
        let mapped = first.map(|first| {
            let made = users::make(Map { inside: 0, outside: first, count: BLOCK }, None);
            Ok::<_, anyhow::Error>(Mapped { first, namespace: checked(made)? })
        });
        Ok(Self(mapped.transpose()?))
    }

    /// Returns the id of root on the host.
    pub(crate) fn root(&self) -> u32 {
        self.0.as_ref().map_or(0, |mapped| mapped.first)
    }

    /// Gives a mount that is mounted nowhere yet to these users.
    pub(crate) fn own(&self, mount: impl AsFd, depth: Depth) -> Result<()> {
        let Some(mapped) = &self.0 else { return Ok(()) };
        map(mount, &mapped.namespace, depth)
    }

    /// Gives a mount that is mounted nowhere yet, and is of the users whose root is the host's user `first`, to these
    /// users.
    pub(crate) fn take_over(&self, mount: impl AsFd, first: u32) -> Result<()> {
        if first == self.root() {
            return Ok(());
        }
        let made = users::make(Map { inside: first, outside: self.root(), count: BLOCK }, None);
        map(mount, checked(made)?, Depth::One)
    }

    /// Does `work` as root of these users, in what concerns files.
    ///
    /// On a mount of these users, only they can own files.
    pub(crate) fn act<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        match &self.0 {
            None => work(),
            Some(mapped) => acting_as(mapped.first, work).context("cannot act as the pod's root")?,
        }
    }

    /// Returns a directory as a layer of an overlay of these users.
    pub(crate) fn layer(&self, directory: &InRoot, shelf: &Shelf) -> Result<InRoot> {
        if self.0.is_none() {
            return Ok(InRoot::below(directory, ".")?);
        }
        let tree = clone_tree_at(directory, Submounts::No).context("cannot take a layer")?;
        self.own(&tree, Depth::One)?;
        shelf.put(&tree, None).context("cannot mount a layer")?;
        Ok(InRoot::below(tree, ".")?)
    }
}

/// Maps the ids of a mount; names the way out where its file system can't.
fn map(mount: impl AsFd, namespace: impl AsFd, depth: Depth) -> Result<()> {
    match map_ids(mount, namespace, depth) {
        Err(error) if matches!(error.errno, Errno::INVAL | Errno::PERM | Errno::OPNOTSUPP) => bail!(
            "its file system, or one mounted below it, can't give it to the pod's users ({}): expected one that maps ids, \
             or a pod with --userns=host",
            error.errno
        ),
        owned => Ok(owned?),
    }
}

/// Names the way out where user namespaces can't be made.
fn checked(made: Result<OwnedFd, sys::Error>) -> Result<OwnedFd> {
    match made {
        Ok(made) => Ok(made),
        Err(error) if error.errno == Errno::NOSPC => {
            namespace(Err(error.errno), "user", "user.max_user_namespaces")?;
            Err(error.into())
        }
        Err(error) => Err(error).context(
            "cannot make a user namespace, which keeps the pod's users apart from the host's (a pod with --userns=host \
             needs none)",
        ),
    }
}

/// A place where layers are mounted as long as overlays are made of them: kernels before 6.5 take no others. Volumes in
/// memory, too, are mounted here until all apps have copies: older kernels copy no mount that is mounted nowhere.
#[derive(Debug)]
pub(crate) struct Shelf {
    root: OwnedFd,
    /// The names of what is mounted. A volume has one, by which it is found again.
    names: RefCell<Vec<Option<String>>>,
}

impl Shelf {
    /// Mounts a shelf on the current directory, which can still be reached by its descriptors.
    pub(crate) fn new() -> Result<Self> {
        let root = create("tmpfs", &[("mode", "0700"), ("size", "1m")], MountAttrFlags::empty())?;
        attach(&root, File::open(".")?)?;
        Ok(Self { root, names: RefCell::new(Vec::new()) })
    }

    /// Mounts a tree, and returns its place.
    fn put(&self, tree: &OwnedFd, name: Option<&str>) -> Result<usize> {
        let mut names = self.names.borrow_mut();
        let place = names.len();
        let directory = place.to_string();
        mkdirat(&self.root, &directory, Mode::RWXU).called_on("mkdirat", &directory)?;
        attach(tree, InRoot::below(&self.root, &directory)?)?;
        names.push(name.map(str::to_owned));
        Ok(place)
    }

    /// Returns a copy of the mount that is called `name` here. `make` makes it where there is none.
    pub(crate) fn copy(&self, name: &str, make: impl FnOnce() -> Result<OwnedFd>) -> Result<OwnedFd> {
        let found = self.names.borrow().iter().position(|one| one.as_deref() == Some(name));
        let place = match found {
            Some(place) => place,
            None => self.put(&make()?, Some(name))?,
        };
        Ok(clone_tree_at(InRoot::below(&self.root, &place.to_string())?, Submounts::No)?)
    }

    /// Unmounts the shelf with its layers; overlays have mounts of their own of these.
    ///
    /// The current directory is `back` afterwards.
    pub(crate) fn clear(self, back: impl AsFd) -> Result<()> {
        fchdir(&self.root)?;
        unmount(".", UnmountFlags::DETACH).context("cannot detach the layers")?;
        Ok(fchdir(back)?)
    }
}
