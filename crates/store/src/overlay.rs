// SPDX-License-Identifier: Apache-2.0
//! Tests whether overlays can be made of certain directories, by making one that is mounted nowhere.
//!
//! Only the kernel can tell which file systems can hold an upper layer, and that differs between its versions. A success
//! is remembered until the next boot, because releasing a mount takes longer than everything else that a `prepare` of
//! known content does.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;

use rustix::fs::{AtFlags, Mode, fstat, mkdirat, readlinkat, symlinkat, unlinkat};
use rustix::io::Errno;

use crate::data_dir::DataDir;
use crate::error::{About as _, Result};
use sys::mounts::{
    Depth, MountAttrFlags, Submounts, attach, clone_tree_at, create, make_all_private, map_ids,
};
use sys::namespaces::unshare_mounts;
use sys::overlay::{Layers, Unmade, make};
use sys::users::{self, Map, acting_as};
use sys::{CalledOn as _, InRoot};

/// Tells whether a probe failed for a lack of something that has nothing to do with overlays.
pub fn is_trouble(error: &Unmade) -> bool {
    matches!(
        error.errno(),
        Some(Errno::NOSPC | Errno::IO | Errno::DQUOT | Errno::NOMEM | Errno::MFILE | Errno::NFILE)
    )
}

/// Links in the store, whose targets name the boot and the device on which overlays were made: for the host's users, and for
/// users of a pod's own.
const KNOWN: [&str; 2] = ["overlays", "overlays-of-own-users"];
/// The ids of a pod for a probe: any that root has not.
const PROBED: Map = Map { inside: 0, outside: 0x6fff_0000, count: 1 << 16 };
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// Tells whether an overlay was made there since the last boot.
pub fn is_known(data_dir: &DataDir, own_users: bool) -> Result<bool> {
    match readlinkat(&data_dir.aliases, KNOWN[usize::from(own_users)], Vec::new()) {
        Ok(known) => Ok(known.to_bytes() == here(data_dir)?.as_bytes()),
        Err(Errno::NOENT | Errno::INVAL) => Ok(false),
        Err(error) => Err(error).about(|| "cannot read the store's names"),
    }
}

/// Remembers that an overlay was made there.
pub fn remember(data_dir: &DataDir, own_users: bool) -> Result<()> {
    let name = KNOWN[usize::from(own_users)];
    forget_one(data_dir, name)?;
    match symlinkat(here(data_dir)?, &data_dir.aliases, name) {
        // Another process has remembered it, too.
        Err(Errno::EXIST) => Ok(()),
        done => done.about(|| "cannot write into the store"),
    }
}

/// Forgets whatever was known about overlays there.
pub fn forget(data_dir: &DataDir) -> Result<()> {
    KNOWN.iter().try_for_each(|name| forget_one(data_dir, name))
}

fn forget_one(data_dir: &DataDir, name: &str) -> Result<()> {
    match unlinkat(&data_dir.aliases, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).about(|| "cannot write into the store"),
    }
}

fn here(data_dir: &DataDir) -> Result<String> {
    let boot = std::fs::read_to_string(BOOT).about(|| "cannot tell this boot from others")?;
    Ok(format!("{}-{}", boot.trim(), fstat(&data_dir.aliases)?.st_dev))
}

/// Makes an overlay of `lower` with changes in `upper`, checks that it can be written to, and releases it.
///
/// # Errors
/// If overlays can't be made of these directories, with the kernel's reason.
pub fn probe(lower: &OwnedFd, upper: &OwnedFd, work: &OwnedFd) -> Result<(), Unmade> {
    make(&Layers { lower, upper, work }).map(drop)
}

/// The reason why users of a pod's own can't have what is in a directory.
#[derive(Debug, thiserror::Error)]
pub enum Unmapped {
    /// The file system can't map ids.
    #[error("the file system can't map ids, so a pod's own users can't own what is there")]
    FileSystem(#[source] sys::Error),
    /// The kernel has no user namespaces for this process.
    #[error("cannot make a user namespace, which keeps a pod's users apart from the host's")]
    Namespace(#[source] sys::Error),
    /// A call failed for a lack of something, which says nothing about ids.
    #[error("cannot try whether a pod's own users can own what is there")]
    System(#[from] sys::Error),
}

impl Unmapped {
    /// Keeps an error of what is impossible; others are the system's.
    fn if_impossible(error: sys::Error, impossible: fn(sys::Error) -> Self) -> Self {
        let is_impossible =
            matches!(error.errno, Errno::INVAL | Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS);
        if is_impossible { impossible(error) } else { Self::System(error) }
    }
}

/// Checks that users of a pod's own can own what is in `directory`, and returns a namespace with such users.
///
/// # Errors
/// See [`Unmapped`].
pub fn map(directory: impl AsFd) -> Result<OwnedFd, Unmapped> {
    let namespace =
        users::make(PROBED, None).map_err(|error| Unmapped::if_impossible(error, Unmapped::Namespace))?;
    let tree = clone_tree_at(directory, Submounts::No)?;
    map_ids(&tree, &namespace, Depth::One)
        .map_err(|error| Unmapped::if_impossible(error, Unmapped::FileSystem))?;
    Ok(namespace)
}

/// Does what [`probe`] does, for users of a pod's own. `both` has the directories `upper` and `work`.
///
/// # Errors
/// The outer one as [`map`], or if the probe can't be made; the inner one if overlays can't be made.
pub fn probe_mapped(
    lower: &OwnedFd,
    both: &OwnedFd,
    upper: &str,
    work: &str,
) -> Result<Result<(), Unmade>, Unmapped> {
    let namespace = map(both)?;
    // Kernels before 6.5 take layers only if they are mounted. A thread may have a mount namespace of its own.
    thread::scope(|scope| {
        let done = scope.spawn(|| try_mapped(&namespace, lower, both, upper, work)).join();
        done.unwrap_or(Ok(Err(Unmade::ReadOnly)))
    })
}

fn try_mapped(
    namespace: &OwnedFd,
    lower: &OwnedFd,
    both: &OwnedFd,
    upper: &str,
    work: &str,
) -> Result<Result<(), Unmade>, Unmapped> {
    // Copied before this thread leaves the mount namespace in which they were opened.
    let mapped = |directory: &OwnedFd| -> Result<OwnedFd, Unmapped> {
        let tree = clone_tree_at(directory, Submounts::No)?;
        map_ids(&tree, namespace, Depth::One)
            .map_err(|error| Unmapped::if_impossible(error, Unmapped::FileSystem))?;
        Ok(tree)
    };
    let trees = [("lower", mapped(lower)?), ("both", mapped(both)?)];
    unshare_mounts().called_on("unshare", "mount namespace")?;
    make_all_private()?;
    let shelf = create("tmpfs", &[("size", "64k")], MountAttrFlags::empty())?;
    attach(&shelf, root()?)?;
    for (name, tree) in &trees {
        mkdirat(&shelf, *name, Mode::RWXU).called_on("mkdirat", name)?;
        attach(tree, InRoot::below(&shelf, name)?)?;
    }
    let [lower, both] = trees.map(|(_, tree)| InRoot::below(tree, "."));
    let (lower, both) = (lower?, both?);
    let layers =
        Layers { lower: &lower, upper: &InRoot::below(&both, upper)?, work: &InRoot::below(&both, work)? };
    Ok(acting_as(PROBED.outside, || make(&layers).map(drop))?)
}

fn root() -> Result<File, sys::Error> {
    let opened = File::open("/");
    opened.map_err(|error| {
        sys::Error::new("openat", "/".as_ref(), Errno::from_io_error(&error).unwrap_or(Errno::IO))
    })
}
