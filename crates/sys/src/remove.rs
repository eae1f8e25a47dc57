// SPDX-License-Identifier: Apache-2.0
//! Removes a tree relative to descriptors. No link is followed, whatever the tree contains, and at most three
//! descriptors are open, however deep the tree is. The way back up is `..`, which has to be the directory that the walk
//! came down through.
//!
//! Invariant: nothing that is mounted is removed. A first pass looks for mounts and changes nothing. If something is
//! mounted after that, the second pass stops there (openat2(2), `RESOLVE_NO_XDEV`, which covers bind mounts too;
//! unlink(2), EBUSY). A mount that exists only in another namespace does not stop it: the mount goes away together with
//! the name it is mounted on.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use pod::text::one_line;
use rustix::fs::{AtFlags, Dir, FileType, OFlags, StatxAttributes, StatxFlags, statx, unlinkat};
use rustix::io::Errno;

use crate::Error;
use crate::locks::identity;
use crate::open::open_on_mount;

/// The maximum number of times a directory is emptied, as new objects may appear in it meanwhile.
const ATTEMPTS: usize = 8;

/// The reason why something can't be removed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// Something is mounted at this path.
    #[error("{} is a mount point: expected none in what is to be removed", one_line(&.0.to_string_lossy()))]
    Mounted(PathBuf),
    /// An error of the system.
    #[error(transparent)]
    System(Errno),
}

impl Obstacle {
    fn mounted(name: &CStr) -> Self {
        Self::Mounted(OsStr::from_bytes(name.to_bytes()).into())
    }

    /// Prepends the directory `name` to the path.
    fn below(self, name: &CStr) -> Self {
        match self {
            Self::Mounted(path) => Self::Mounted(Path::new(OsStr::from_bytes(name.to_bytes())).join(path)),
            system => system,
        }
    }
}

impl From<Errno> for Obstacle {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

impl From<Error> for Obstacle {
    fn from(error: Error) -> Self {
        Self::System(error.into())
    }
}

type Result<T> = std::result::Result<T, Obstacle>;

/// The action on each object found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// Looks whether something is mounted on it.
    Look,
    /// Removes it.
    Remove,
}

/// Checks that nothing is mounted on `name` in `parent`, or below it. It is no error if `name` doesn't exist.
///
/// # Errors
/// See [`Obstacle`].
pub fn check(parent: impl AsFd, name: &CStr) -> Result<()> {
    let Some(file_type) = look(&parent, name)? else { return Ok(()) };
    match file_type {
        FileType::Directory => walk(open(&parent, name)?, Pass::Look).map_err(|found| found.below(name)),
        _ => Ok(()),
    }
}

/// Removes `name` in `parent`, of whatever type, and everything below it. If something is mounted there, nothing is
/// removed. It is no error if `name` is gone already.
///
/// # Errors
/// See [`Obstacle`].
pub fn remove_tree(parent: impl AsFd, name: &CStr) -> Result<()> {
    check(&parent, name)?;
    if is_removed(&parent, name)? {
        return Ok(());
    }
    for _ in 1..ATTEMPTS {
        match open(&parent, name) {
            Err(Obstacle::System(Errno::NOENT)) => return Ok(()),
            opened => walk(opened?, Pass::Remove).map_err(|found| found.below(name))?,
        }
        match remove_empty(&parent, name) {
            Err(Obstacle::System(Errno::NOTEMPTY)) => {}
            done => return done,
        }
    }
    remove_empty(&parent, name)
}

/// Checks that nothing is mounted below an open directory.
///
/// # Errors
/// See [`Obstacle`].
pub fn check_content(directory: impl AsFd) -> Result<()> {
    walk(open(directory, c".")?, Pass::Look)
}

/// Removes what is in an open directory. What is mounted there is not removed, and ends the removal.
///
/// # Errors
/// See [`Obstacle`].
pub fn remove_content(directory: impl AsFd) -> Result<()> {
    walk(open(directory, c".")?, Pass::Remove)
}

/// Removes an object that is not a directory. Tells whether the name is gone.
fn is_removed(parent: impl AsFd, name: &CStr) -> Result<bool> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR | Errno::PERM) => Ok(false),
        Err(Errno::BUSY) => Err(Obstacle::mounted(name)),
        Err(error) => Err(error.into()),
    }
}

/// Removes an empty directory. It is no error if it is gone already.
fn remove_empty(parent: impl AsFd, name: &CStr) -> Result<()> {
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::BUSY) => Err(Obstacle::mounted(name)),
        Err(error) => Err(error.into()),
    }
}

/// A directory above the current one.
struct Above {
    /// The device and inode numbers of the directory.
    identity: (u64, u64),
    /// The subdirectories in it that are not done yet. The last one is the way down.
    left: Vec<CString>,
    /// The number of times that last subdirectory was emptied.
    attempts: usize,
}

/// Walks through `directory` depth first, and either looks for mounts or empties it.
fn walk(mut directory: OwnedFd, pass: Pass) -> Result<()> {
    let mut way: Vec<Above> = Vec::new();
    let below_all = |found: Obstacle, way: &[Above]| {
        way.iter().rev().filter_map(|above| above.left.last()).fold(found, |found, name| found.below(name))
    };
    let (mut left, mut attempts) = (subdirectories(&directory, pass)?, 0);
    loop {
        if let Some(name) = left.last() {
            let below = open(&directory, name).map_err(|found| below_all(found, &way))?;
            way.push(Above { identity: identity(&directory)?, left, attempts });
            left = subdirectories(&below, pass).map_err(|found| below_all(found, &way))?;
            (attempts, directory) = (0, below);
            continue;
        }
        let Some(above) = way.pop() else { return Ok(()) };
        directory = open(&directory, c"..")?;
        if identity(&directory)? != above.identity {
            return Err(Errno::STALE.into());
        }
        (left, attempts) = (above.left, above.attempts + 1);
        if let (Pass::Remove, Some(name)) = (pass, left.last()) {
            match remove_empty(&directory, name) {
                Err(Obstacle::System(Errno::NOTEMPTY)) if attempts < ATTEMPTS => continue,
                done => done.map_err(|found| below_all(found, &way))?,
            }
        }
        left.pop();
        attempts = 0;
    }
}

/// Removes all objects in a directory that are not directories, or checks them for mounts. Returns the names of the
/// subdirectories.
fn subdirectories(directory: &OwnedFd, pass: Pass) -> Result<Vec<CString>> {
    let mut all = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let is_directory = match (entry.file_type(), pass) {
            // A mount on a directory is found when it is opened.
            (FileType::Directory, _) => true,
            (_, Pass::Look) => look(directory, name)? == Some(FileType::Directory),
            (_, Pass::Remove) => !is_removed(directory, name)?,
        };
        if is_directory {
            all.push(name.to_owned());
        }
    }
    Ok(all)
}

/// Returns the type of `name` after checking that nothing is mounted on it; `None` if it doesn't exist.
fn look(parent: impl AsFd, name: &CStr) -> Result<Option<FileType>> {
    // Cached values are enough: the current size on a file server is not needed.
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    match statx(parent, name, flags, StatxFlags::TYPE) {
        Err(Errno::NOENT) => Ok(None),
        Ok(found) if found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) => {
            Err(Obstacle::mounted(name))
        }
        found => Ok(Some(FileType::from_raw_mode(found?.stx_mode.into()))),
    }
}

/// Opens a directory that must be on the same mount as `parent`.
fn open(parent: impl AsFd, name: &CStr) -> Result<OwnedFd> {
    let name_in_parent = OsStr::from_bytes(name.to_bytes());
    match open_on_mount(parent, name_in_parent, OFlags::RDONLY | OFlags::DIRECTORY) {
        Err(error) if error.errno == Errno::XDEV => Err(Obstacle::mounted(name)),
        opened => Ok(opened.map_err(Errno::from)?),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};

    use super::*;

    /// Another process can mount something between the two passes.
    #[gate::root_test]
    fn what_is_mounted_after_the_look_is_not_crossed() {
        // Runs in a mount namespace of this thread, so that all mounts go away with it.
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let bind = |what: Option<&Path>, at: &Path, flags| mount(what, at, None::<&str>, flags, None::<&str>);
        bind(None, Path::new("/"), MsFlags::MS_REC | MsFlags::MS_PRIVATE).unwrap();
        for on in ["a/directory", "a/file"] {
            let outer = tempfile::tempdir().unwrap();
            let [canary, tree] = ["canary", "tree"].map(|name| outer.path().join(name));
            fs::create_dir(&canary).unwrap();
            fs::create_dir_all(tree.join("a/directory")).unwrap();
            for file in [canary.join("file"), tree.join("a/file"), tree.join("file")] {
                fs::write(file, "alive").unwrap();
            }
            let what = if on == "a/file" { canary.join("file") } else { canary.clone() };
            let parent = File::open(outer.path()).unwrap();
            check(&parent, c"tree").unwrap();
            bind(Some(&what), &tree.join(on), MsFlags::MS_BIND).unwrap();
            let opened = open(&parent, c"tree").unwrap();
            assert_eq!(walk(opened, Pass::Remove), Err(Obstacle::Mounted(on.into())));
            assert_eq!(fs::read(canary.join("file")).unwrap(), b"alive", "{on}");
            // The first pass finds it too, whatever it is mounted on.
            assert_eq!(remove_tree(&parent, c"tree"), Err(Obstacle::Mounted(Path::new("tree").join(on))));
            assert_eq!(fs::read(canary.join("file")).unwrap(), b"alive", "{on}");
            nix::mount::umount(&tree.join(on)).unwrap();
            assert_eq!(remove_tree(&parent, c"tree"), Ok(()), "{on}");
            assert!(!tree.exists(), "{on}");
        }
    }
}
