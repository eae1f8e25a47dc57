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
use crate::listener::Listener;
use crate::lock;
use report::Hint as _;
use sys::Interrupt;

/// How often DIR is made or opened anew when it vanishes in between.
const ATTEMPTS: usize = 64;
const AS_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// The directories that DIR is made of, each after the one it is in.
const PARTS: [&str; 5] = [layout::STAGING, layout::CONTAINERS, layout::STORE, layout::TREES, layout::ALIASES];

/// DIR, locked against removal.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    /// What ends waiting for a lock.
    pub interrupt: Interrupt,
    /// Whom to tell of warnings and progress.
    pub listener: &'static dyn Listener,
    /// What is being built; and the lock.
    pub staging: OwnedFd,
    /// Pod directories.
    pub containers: OwnedFd,
    /// The store's trees.
    pub trees: OwnedFd,
    /// The store's other names for trees.
    pub aliases: OwnedFd,
    /// What this run made, outermost first.
    made: Vec<PathBuf>,
}

impl Home {
    /// Opens DIR, an absolute path, and makes what is missing of it, 0700.
    pub fn open(path: &Path, interrupt: &Interrupt, listener: &'static dyn Listener) -> Result<Self> {
        let mut made = Vec::new();
        match Self::try_open(path, interrupt, &mut made) {
            Ok([staging, containers, trees, aliases]) => {
                let (path, interrupt) = (path.to_owned(), interrupt.clone());
                Ok(Self { path, interrupt, listener, staging, containers, trees, aliases, made })
            }
            Err(error) => {
                unmake(path, &made);
                Err(error.context(format!("directory {}", escape(&path.to_string_lossy()))))
            }
        }
    }

    /// Opens DIR, if it has a store: what only looks, or removes, makes none.
    ///
    /// # Errors
    /// As [`Self::open`], also where something that is no directory, a link to one included, has the name of a part.
    pub fn find(path: &Path, interrupt: &Interrupt, listener: &'static dyn Listener) -> Result<Option<Self>> {
        let mut has_store = false;
        for part in PARTS {
            match fs::symlink_metadata(path.join(part)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Ok(found) if found.is_dir() => has_store |= part == layout::TREES,
                // The reason is told by opening it.
                _ => return Self::open(path, interrupt, listener).map(Some),
            }
        }
        if has_store { Self::open(path, interrupt, listener).map(Some) } else { Ok(None) }
    }

    /// DIR's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the directories that this run made and nobody uses.
    pub fn abandon(self) {
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
            let directory = open_part(&below, name)?;
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
    let staging = open_part(&path, name)?;
    check_private(&staging).context(name)?;
    Ok(staging)
}

/// Opens a part of DIR, which is called `name` in it; no link takes its place.
fn open_part(path: &Path, name: &str) -> Result<OwnedFd> {
    match open(path, AS_DIRECTORY | OFlags::NOFOLLOW, Mode::empty()) {
        Err(Errno::NOTDIR | Errno::LOOP) => Err(anyhow!("{name} is a file or a link: expected a directory"))
            .hint("--dir says where all of it is"),
        opened => opened.with_context(|| format!("cannot open {name}")),
    }
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
pub fn check_guarded(directory: &OwnedFd) -> Result<()> {
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
