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

use std::fmt::Display;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use pod::layout;
use pod::text::escape;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open, openat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::error::{About as _, Error, Result};
use crate::fault::Fault;
use crate::guarded;
use crate::listener::Listener;
use sys::{Interrupt, locks};

/// How often DIR is made or opened again after it has vanished in between.
const ATTEMPTS: usize = 64;
const AS_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// The directories that DIR consists of, each after its parent.
const PARTS: [&str; 7] = [
    layout::STAGING,
    layout::CONTAINERS,
    layout::STORE,
    layout::TREES,
    layout::ALIASES,
    layout::NAMES,
    layout::BLOBS,
];

/// The data directory DIR, locked against removal.
#[derive(Debug)]
pub struct DataDir {
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
    /// The directory of the file of images' names.
    pub(crate) names: OwnedFd,
    /// Blobs of OCI images.
    pub(crate) blobs: OwnedFd,
    /// The directories that this run made. Dropped after `staging`, whose lock would keep it from removing them.
    made: Made,
}

/// The directories of DIR that this run made. On drop they are removed, unless another process works in DIR or has put
/// something there.
#[derive(Debug)]
struct Made {
    /// DIR.
    path: PathBuf,
    /// The directories that were made, outermost first.
    directories: Vec<PathBuf>,
}

impl DataDir {
    /// Opens DIR, an absolute path, and makes its missing parts with mode 0700.
    pub fn open(path: &Path, interrupt: &Interrupt, listener: &'static dyn Listener) -> Result<Self> {
        let mut made = Made { path: path.to_owned(), directories: Vec::new() };
        let [staging, containers, trees, aliases, names, blobs] = open_parts(path, interrupt, &mut made)
            .about(|| format!("directory {}", escape(&path.to_string_lossy())))?;
        let (path, interrupt) = (path.to_owned(), interrupt.clone());
        Ok(Self { path, interrupt, listener, staging, containers, trees, aliases, names, blobs, made })
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

    /// Ends the work in DIR, and keeps the directories that this run made. Without this, those that are empty are
    /// removed.
    pub fn keep(mut self) {
        self.made.directories.clear();
    }
}

/// Opens the parts of DIR: staging, locked, containers, trees, aliases, names and blobs.
fn open_parts(path: &Path, interrupt: &Interrupt, made: &mut Made) -> Result<[OwnedFd; 6]> {
    let staging = lock_shared(path, interrupt, made)?;
    let mut below = |name: &'static str| -> Result<OwnedFd> {
        let below = path.join(name);
        made.make(&below).about(|| format!("cannot create {name}"))?;
        let directory = open_part(&below, name)?;
        check_guarded(&directory).about(|| name.to_owned())?;
        Ok(directory)
    };
    let containers = below(layout::CONTAINERS)?;
    below(layout::STORE)?;
    let (trees, aliases) = (below(layout::TREES)?, below(layout::ALIASES)?);
    Ok([staging, containers, trees, aliases, below(layout::NAMES)?, below(layout::BLOBS)?])
}

/// Opens `staging/` in DIR and takes a shared lock on it.
///
/// Both directories stay there as long as the lock is held.
fn lock_shared(path: &Path, interrupt: &Interrupt, made: &mut Made) -> Result<OwnedFd> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let staging = match open_staging(path, made) {
            // Another run has removed a directory above meanwhile. Or DIR is in a place such as /proc, where every
            // attempt fails like this.
            Err(Unopened::Missing(error)) => {
                last = Some(error);
                continue;
            }
            Err(Unopened::Other(error)) => return Err(error),
            Ok(staging) => staging,
        };
        locks::share(&staging, interrupt).about(|| "cannot lock it")?;
        let locked = fstat(&staging)?;
        match fs::symlink_metadata(path.join(layout::STAGING)) {
            Ok(there) if (there.dev(), there.ino()) == (locked.st_dev, locked.st_ino) => {
                return Ok(staging);
            }
            _ => {}
        }
    }
    Err(last.unwrap_or_else(|| {
        Error::Contended(format!("others removed it {ATTEMPTS} times: expected it to stay"))
    }))
}

/// Why a part of DIR could not be opened.
enum Unopened {
    /// It, or something on the way to it, is missing.
    Missing(Error),
    Other(Error),
}

impl Unopened {
    fn by(errno: Errno, about: impl Display) -> Self {
        let error = Error::from(errno).at(about);
        if errno == Errno::NOENT { Self::Missing(error) } else { Self::Other(error) }
    }
}

impl From<Error> for Unopened {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<Unopened> for Error {
    fn from(unopened: Unopened) -> Self {
        let (Unopened::Missing(error) | Unopened::Other(error)) = unopened;
        error
    }
}

/// Makes and opens `staging/`, and checks that no other user can open it.
///
/// It also checks that no other user can write to DIR or replace it. Once DIR's path is found to be guarded, it can be
/// used again.
fn open_staging(path: &Path, made: &mut Made) -> Result<OwnedFd, Unopened> {
    check_guarded(&open_dir(path, made)?)?;
    let (name, path) = (layout::STAGING, path.join(layout::STAGING));
    made.make(&path).map_err(|errno| Unopened::by(errno, format!("cannot create {name}")))?;
    let staging = open_part(&path, name)?;
    check_private(&staging).about(|| name)?;
    Ok(staging)
}

/// Opens DIR, and makes it where it is missing.
fn open_dir(path: &Path, made: &mut Made) -> Result<OwnedFd, Unopened> {
    const ABOUT: &str = "cannot open it";
    let opened = match guarded::open(path) {
        Err(error) if error.is_missing() => {
            made.make_all(path).map_err(|errno| Unopened::by(errno, "cannot create it"))?;
            guarded::open(path)
        }
        opened => opened,
    };
    match opened {
        Err(guarded::Error::System(errno)) => Err(Unopened::by(errno, ABOUT)),
        Err(error) => Err(Error::Unguarded(error).at(ABOUT).into()),
        Ok(dir) => openat(dir, ".", AS_DIRECTORY, Mode::empty()).map_err(|errno| Unopened::by(errno, ABOUT)),
    }
}

/// Opens the part of DIR that is called `name` in it, without following a link in its place.
fn open_part(path: &Path, name: &'static str) -> Result<OwnedFd, Unopened> {
    open(path, AS_DIRECTORY | OFlags::NOFOLLOW, Mode::empty()).map_err(|errno| match errno {
        Errno::NOTDIR | Errno::LOOP => Unopened::Other(Error::NoDirectory(name)),
        errno => Unopened::by(errno, format!("cannot open {name}")),
    })
}

impl Made {
    fn make_all(&mut self, path: &Path) -> Result<(), Errno> {
        let missing: Vec<&Path> = path.ancestors().take_while(|path| fs::metadata(path).is_err()).collect();
        missing.into_iter().rev().try_for_each(|path| self.make(path))
    }

    /// Makes a directory with mode 0700, unless it is there.
    fn make(&mut self, path: &Path) -> Result<(), Errno> {
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                self.directories.push(path.to_owned());
                // The umask may have cleared bits.
                rustix::fs::chmod(path, Mode::RWXU)
            }
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.directories.is_empty() {
            return;
        }
        let staging = self.path.join(layout::STAGING);
        let lock = open(staging, AS_DIRECTORY | OFlags::NOFOLLOW, Mode::empty());
        if let Ok(lock) = &lock
            && flock(lock, FlockOperation::NonBlockingLockExclusive).is_err()
        {
            return;
        }
        for directory in self.directories.iter().rev() {
            // A directory that is not empty stays.
            let _ = fs::remove_dir(directory);
        }
    }
}

/// Checks that only root can change what is in a directory.
pub fn check_guarded(directory: &OwnedFd) -> Result<()> {
    check_owner(directory).map_err(|fault| match fault {
        Fault::Content(why) => {
            let expected = "expected a directory of your own that nobody else can write to: chmod go-w DIR";
            Error::Exposed { why, expected }
        }
        fault => fault.into(),
    })
}

/// Checks the same for a directory that may be damaged.
pub(crate) fn check_owner(directory: &OwnedFd) -> Result<(), Fault> {
    let stat = fstat(directory)?;
    if stat.st_uid == geteuid().as_raw() && stat.st_mode & 0o022 == 0 {
        return Ok(());
    }
    let mode = stat.st_mode & 0o7777;
    Err(Fault::Content(format!("others can write to it: owner {}, mode {mode:04o}", stat.st_uid)))
}

/// Checks that only root can open a directory, and so lock it.
fn check_private(directory: &OwnedFd) -> Result<()> {
    check_guarded(directory)?;
    match fstat(directory)?.st_mode & 0o7777 {
        mode if mode & 0o077 == 0 => Ok(()),
        mode => Err(Error::Exposed {
            why: format!("others can open it, and lock it: mode {mode:04o}"),
            expected: "expected a directory of your own that nobody else can open: chmod go= DIR/staging",
        }),
    }
}
