// SPDX-License-Identifier: Apache-2.0
//! DIR: opened, made where it is missing, and unmade where the run that made it failed.
//!
//! Whoever works in DIR holds a shared lock on it. Who would remove DIR again takes the lock alone first, and who
//! gets a lock looks whether DIR is still there. Invariant: nobody's DIR vanishes under him.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use pod::layout;
use pod::text::escape;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::report::Hint as _;

/// How often DIR is made or opened anew when it vanishes in between.
const ATTEMPTS: usize = 64;
const AS_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// DIR, locked against removal.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    _lock: OwnedFd,
    /// What is being built.
    pub(crate) staging: OwnedFd,
    /// Pod directories.
    pub(crate) containers: OwnedFd,
    /// The store's trees.
    pub(crate) trees: OwnedFd,
    /// The store's other names for trees.
    pub(crate) aliases: OwnedFd,
    /// What this run made, outermost first.
    made: Vec<PathBuf>,
}

impl Home {
    /// Opens DIR, an absolute path, and makes what is missing of it, 0700.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut made = Vec::new();
        let opened = Self::try_open(path, &mut made);
        match opened {
            Ok((lock, [staging, containers, trees, aliases])) => {
                Ok(Self { path: path.to_owned(), _lock: lock, staging, containers, trees, aliases, made })
            }
            Err(error) => {
                unmake(path, &made);
                Err(error.context(format!("directory {}", escape(&path.to_string_lossy()))))
            }
        }
    }

    /// Opens DIR, if it is there.
    pub(crate) fn find(path: &Path) -> Result<Option<Self>> {
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            _ => Self::open(path).map(Some),
        }
    }

    /// DIR's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// After a failure: removes the directories that this run made and nobody uses.
    pub(crate) fn abandon(self) {
        let (path, made) = (self.path.clone(), self.made.clone());
        // With it the lock, which would be in its own way.
        drop(self);
        unmake(&path, &made);
    }

    fn try_open(path: &Path, made: &mut Vec<PathBuf>) -> Result<(OwnedFd, [OwnedFd; 4])> {
        let lock = lock_shared(path, made)?;
        check_guarded(&lock)?;
        let mut below = |name: &str| -> Result<OwnedFd> {
            let below = path.join(name);
            make(&below, made).with_context(|| format!("cannot create {name}"))?;
            let directory = open(&below, AS_DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
                .with_context(|| format!("cannot open {name}"))?;
            check_guarded(&directory).with_context(|| name.to_owned())?;
            Ok(directory)
        };
        let [staging, containers] = [layout::STAGING, layout::CONTAINERS].map(&mut below);
        below(layout::STORE)?;
        Ok((lock, [staging?, containers?, below(layout::TREES)?, below(layout::ALIASES)?]))
    }
}

/// Opens DIR and locks it, so that it is there as long as the lock is held.
fn lock_shared(path: &Path, made: &mut Vec<PathBuf>) -> Result<OwnedFd> {
    let mut last = io::Error::from(Errno::NOENT);
    for _ in 0..ATTEMPTS {
        match make_all(path, made) {
            // A parent was taken back meanwhile; or this is a place such as /proc, which says so for good.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                last = error;
                continue;
            }
            done => done.context("cannot create it")?,
        }
        let directory = match open(path, AS_DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => continue,
            opened => opened.context("cannot open it")?,
        };
        flock(&directory, FlockOperation::LockShared).context("cannot lock it")?;
        let locked = fstat(&directory)?;
        match fs::metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (locked.st_dev, locked.st_ino) => {
                return Ok(directory);
            }
            _ => {}
        }
    }
    Err(last).context("cannot create it")
}

fn make_all(path: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|path| fs::metadata(path).is_err()).collect();
    missing.into_iter().rev().try_for_each(|path| make(path, made))
}

fn make(path: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    match rustix::fs::mkdir(path, Mode::RWXU) {
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => {
            made.push(path.to_owned());
            // The umask may have taken bits.
            Ok(rustix::fs::chmod(path, Mode::RWXU)?)
        }
    }
}

/// Removes the directories `made`, unless somebody is at work in DIR or has put something there.
fn unmake(path: &Path, made: &[PathBuf]) {
    if made.is_empty() {
        return;
    }
    let lock = open(path, AS_DIRECTORY, Mode::empty());
    if let Ok(lock) = &lock
        && flock(lock, FlockOperation::NonBlockingLockExclusive).is_err()
    {
        return;
    }
    for directory in made.iter().rev() {
        // It stays where it is not empty.
        let _ = fs::remove_dir(directory);
    }
}

/// Whether only root can change what is in a directory.
fn check_guarded(directory: &OwnedFd) -> Result<()> {
    let stat = fstat(directory)?;
    if stat.st_uid == geteuid().as_raw() && stat.st_mode & 0o022 == 0 {
        return Ok(());
    }
    let found = anyhow!("others can write to it: owner {}, mode {:04o}", stat.st_uid, stat.st_mode & 0o7777);
    Err(found).hint("expected a directory of your own that nobody else can write to: chmod go-w DIR")
}
