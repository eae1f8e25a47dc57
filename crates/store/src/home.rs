// SPDX-License-Identifier: Apache-2.0
//! DIR, the data directory: opened, made where it is missing, and removed again if the run that made it failed.
//!
//! Every process that works in DIR holds a shared lock on `staging/` in it, which is made first and removed last. To
//! remove DIR again, a process first takes the lock exclusively. A process that has got the shared lock checks that the
//! directory it locked still has its name.
//!
//! Invariants: DIR never vanishes while a process works in it. No other user can hold the lock: a user that can open a
//! directory can lock it, so before it is locked, `staging/` is checked to be accessible only to its owner. DIR itself
//! may be readable by other users.

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

/// How often DIR is made or opened again after it has vanished in between.
const ATTEMPTS: usize = 64;
const AS_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// The directories that DIR consists of, each after its parent.
const PARTS: [&str; 5] = [layout::STAGING, layout::CONTAINERS, layout::STORE, layout::TREES, layout::ALIASES];

/// The data directory DIR, locked against removal.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    /// Interrupt that ends waiting for a lock.
    pub interrupt: Interrupt,
    /// Receiver of warnings and progress.
    pub listener: &'static dyn Listener,
    /// Directory of what is being built. This descriptor holds the lock, too.
    pub staging: OwnedFd,
    /// Pod directories.
    pub containers: OwnedFd,
    /// The store's trees.
    pub trees: OwnedFd,
    /// The store's aliases, which are other names of trees.
    pub aliases: OwnedFd,
    /// Directories that this run made, outermost first.
    made: Vec<PathBuf>,
}

impl Home {
    /// Opens DIR, an absolute path, and makes its missing parts with mode 0700.
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

    /// Opens DIR if it has a store.
    ///
    /// This is for commands that only look or remove, which make no store.
    ///
    /// # Errors
    /// As [`Self::open`]; also if a part's name belongs to something that is not a directory, such as a link to one.
    pub fn find(path: &Path, interrupt: &Interrupt, listener: &'static dyn Listener) -> Result<Option<Self>> {
        let mut has_store = false;
        for part in PARTS {
            match fs::symlink_metadata(path.join(part)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Ok(found) if found.is_dir() => has_store |= part == layout::TREES,
                // Opening DIR reports the reason.
                _ => return Self::open(path, interrupt, listener).map(Some),
            }
        }
        if has_store { Self::open(path, interrupt, listener).map(Some) } else { Ok(None) }
    }

    /// Returns DIR's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the directories that this run made and that are not in use.
    pub fn abandon(self) {
        let (path, made) = (self.path.clone(), self.made.clone());
        // This releases the shared lock, which would keep `unmake` from locking exclusively.
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

/// Opens `staging/` in DIR and takes a shared lock on it.
///
/// Both directories stay there as long as the lock is held.
fn lock_shared(path: &Path, interrupt: &Interrupt, made: &mut Vec<PathBuf>) -> Result<OwnedFd> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let staging = match open_staging(path, made) {
            // Another run has removed a directory above meanwhile. Or DIR is in a place such as /proc, where every
            // attempt fails like this.
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

/// Makes and opens `staging/`, and checks that no other user can open it.
///
/// It also checks that no other user can write to DIR or replace it. Once DIR's path is found to be guarded, it can be
/// used again.
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

/// Opens the part of DIR that is called `name` in it, without following a link in its place.
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
            // The umask may have cleared bits.
            Ok(rustix::fs::chmod(path, Mode::RWXU)?)
        }
    }
}

/// Removes the directories `made`, unless another process is working in DIR or has put something there.
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
        // A directory that is not empty stays.
        let _ = fs::remove_dir(directory);
    }
}

/// Checks that only root can change what is in a directory.
pub fn check_guarded(directory: &OwnedFd) -> Result<()> {
    let stat = fstat(directory)?;
    if stat.st_uid == geteuid().as_raw() && stat.st_mode & 0o022 == 0 {
        return Ok(());
    }
    let found = anyhow!("others can write to it: owner {}, mode {:04o}", stat.st_uid, stat.st_mode & 0o7777);
    Err(found).hint("expected a directory of your own that nobody else can write to: chmod go-w DIR")
}

/// Checks that only root can open a directory, and so lock it.
fn check_private(directory: &OwnedFd) -> Result<()> {
    check_guarded(directory)?;
    let mode = fstat(directory)?.st_mode & 0o7777;
    let is_private = || -> Result<()> {
        ensure!(mode & 0o077 == 0, "others can open it, and lock it: mode {mode:04o}");
        Ok(())
    };
    is_private().hint("expected a directory of your own that nobody else can open: chmod go= DIR/staging")
}
