// SPDX-License-Identifier: Apache-2.0
//! DIR: opened, made where it is missing, and unmade where the run that made it failed.
//!
//! Whoever works in DIR shares a lock on `staging/` in it, which is made first and removed last. Who would remove DIR again
//! takes the lock alone first, and who gets a lock looks whether what he has locked is still there. Invariants: nobody's
//! DIR vanishes under him; and nobody else can have the lock, since whoever may open a directory may lock it, and
//! `staging/` is found to be its owner's alone before it is locked. DIR itself is for others to read, if they may.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use pod::layout;
use pod::text::escape;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open, openat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::guarded;
use crate::interrupt::Interrupt;
use crate::lock;
use crate::report::Hint as _;

/// How often DIR is made or opened anew when it vanishes in between.
const ATTEMPTS: usize = 64;
const AS_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// DIR, locked against removal.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    /// What ends waiting for a lock.
    pub(crate) interrupt: Interrupt,
    /// What is being built; and the lock.
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
    pub(crate) fn open(path: &Path, interrupt: &Interrupt) -> Result<Self> {
        let mut made = Vec::new();
        match Self::try_open(path, interrupt, &mut made) {
            Ok([staging, containers, trees, aliases]) => {
                let (path, interrupt) = (path.to_owned(), interrupt.clone());
                Ok(Self { path, interrupt, staging, containers, trees, aliases, made })
            }
            Err(error) => {
                unmake(path, &made);
                Err(error.context(format!("directory {}", escape(&path.to_string_lossy()))))
            }
        }
    }

    /// Opens DIR, if it has a store: who only looks, or removes, makes none.
    pub(crate) fn find(path: &Path, interrupt: &Interrupt) -> Result<Option<Self>> {
        match fs::symlink_metadata(path.join(layout::TREES)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            _ => Self::open(path, interrupt).map(Some),
        }
    }

    /// DIR's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the directories that this run made and nobody uses.
    pub(crate) fn abandon(self) {
        let (path, made) = (self.path.clone(), self.made.clone());
        // With it the lock, which would be in its own way.
        drop(self);
        unmake(&path, &made);
    }

    fn try_open(path: &Path, interrupt: &Interrupt, made: &mut Vec<PathBuf>) -> Result<[OwnedFd; 4]> {
        let staging = lock_shared(path, interrupt, made)?;
        let mut below = |name: &str| -> Result<OwnedFd> {
            let below = path.join(name);
            make(&below, made).with_context(|| format!("cannot create {name}"))?;
            let directory = open(&below, AS_DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
                .with_context(|| format!("cannot open {name}"))?;
            check_guarded(&directory).with_context(|| name.to_owned())?;
            Ok(directory)
        };
        let containers = below(layout::CONTAINERS)?;
        below(layout::STORE)?;
        Ok([staging, containers, below(layout::TREES)?, below(layout::ALIASES)?])
    }
}

/// Opens `staging/` in DIR and locks it, so that both are there as long as the lock is held.
fn lock_shared(path: &Path, interrupt: &Interrupt, made: &mut Vec<PathBuf>) -> Result<OwnedFd> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let staging = match open_staging(path, made) {
            // What is above was taken back meanwhile; or this is a place such as /proc, which says so for good.
            Err(error) if is_missing(&error) => {
                last = Some(error);
                continue;
            }
            opened => opened?,
        };
        lock::share(&staging, interrupt).context("cannot lock it")?;
        let locked = fstat(&staging)?;
        match fs::symlink_metadata(path.join(layout::STAGING)) {
            Ok(there) if (there.dev(), there.ino()) == (locked.st_dev, locked.st_ino) => {
                return Ok(staging);
            }
            _ => {}
        }
    }
    Err(last.unwrap_or_else(|| anyhow!("it was taken away {ATTEMPTS} times: expected it to stay")))
}

/// Makes and opens `staging/`, in a DIR that nobody else can write to or put another in the place of, such that nobody
/// else can open it. DIR's path, once it is found to be guarded, can be used again.
fn open_staging(path: &Path, made: &mut Vec<PathBuf>) -> Result<OwnedFd> {
    match guarded::open(path) {
        Err(error) if is_missing(&error) => {
            make_all(path, made).context("cannot create it")?;
            guarded::open(path)
        }
        opened => opened,
    }
    .and_then(|dir| Ok(openat(dir, ".", AS_DIRECTORY, Mode::empty())?))
    .context("cannot open it")
    .and_then(|dir| check_guarded(&dir))?;
    let (name, path) = (layout::STAGING, path.join(layout::STAGING));
    make(&path, made).with_context(|| format!("cannot create {name}"))?;
    let staging = open(&path, AS_DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
        .with_context(|| format!("cannot open {name}"))?;
    check_private(&staging).context(name)?;
    Ok(staging)
}

fn is_missing(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref() == Some(&Errno::NOENT)
            || cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
    })
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
    let lock = open(path.join(layout::STAGING), AS_DIRECTORY | OFlags::NOFOLLOW, Mode::empty());
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
pub(crate) fn check_guarded(directory: &OwnedFd) -> Result<()> {
    let stat = fstat(directory)?;
    if stat.st_uid == geteuid().as_raw() && stat.st_mode & 0o022 == 0 {
        return Ok(());
    }
    let found = anyhow!("others can write to it: owner {}, mode {:04o}", stat.st_uid, stat.st_mode & 0o7777);
    Err(found).hint("expected a directory of your own that nobody else can write to: chmod go-w DIR")
}

/// Whether only root can open a directory, and so lock it.
fn check_private(directory: &OwnedFd) -> Result<()> {
    check_guarded(directory)?;
    let mode = fstat(directory)?.st_mode & 0o7777;
    let is_private = || -> Result<()> {
        ensure!(mode & 0o077 == 0, "others can open it, and lock it: mode {mode:04o}");
        Ok(())
    };
    is_private().hint("expected a directory of your own that nobody else can open: chmod go= DIR/staging")
}
