// SPDX-License-Identifier: Apache-2.0
//! Gantry's own directory: opened once, made where it is missing, and unmade by a run that made it and then failed.
//!
//! Every run holds a shared lock on it, and takes it back only under an exclusive one. So no run loses the directory
//! that it works in.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, open, openat};
use nix::sys::stat::{Mode, fstat, mkdirat, stat};
use nix::unistd::{UnlinkatFlags, mkdir, unlinkat};
use pod::layout;

use crate::input::shown;

const AS_DIR: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Gantry's directory, with what prepare needs in it.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    lock: Flock<OwnedFd>,
    pub(crate) containers: OwnedFd,
    pub(crate) staging: OwnedFd,
    /// What this run made: directories above and including the path, and those in it.
    made_above: Vec<PathBuf>,
    made_below: Vec<&'static str>,
}

impl Directory {
    /// Opens the directory, making it, 0700, and what is missing above it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let about = || format!("directory {}", shown(path));
        let path = std::path::absolute(path).with_context(about)?;
        let mut made_above = Vec::new();
        let lock = loop {
            make_all(&path, &mut made_above).with_context(about)?;
            let directory = match open(&path, AS_DIR & !OFlag::O_NOFOLLOW, Mode::empty()) {
                Err(Errno::ENOENT) => continue,
                opened => opened.with_context(about)?,
            };
            let lock = Flock::lock(directory, FlockArg::LockShared)
                .map_err(|(_, error)| error)
                .with_context(about)?;
            // Another run may have taken it back before it was locked here.
            let (locked, there) = (fstat(&*lock).with_context(about)?, stat(&path));
            if there.is_ok_and(|there| (there.st_dev, there.st_ino) == (locked.st_dev, locked.st_ino)) {
                break lock;
            }
        };
        let mut made_below = Vec::new();
        let mut below = |name| {
            subdirectory(&*lock, name, &mut made_below).with_context(|| format!("{}: {name}", about()))
        };
        let (containers, staging) = (below(layout::CONTAINERS)?, below(layout::STAGING)?);
        Ok(Self { path, lock, containers, staging, made_above, made_below })
    }

    /// Where it is, absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes back what this run made and nobody else has used.
    pub(crate) fn unmake(self) {
        if self.lock.relock(FlockArg::LockExclusiveNonblock).is_err() {
            return;
        }
        for name in self.made_below.iter().rev() {
            let _ = unlinkat(&*self.lock, *name, UnlinkatFlags::RemoveDir);
        }
        for path in self.made_above.iter().rev() {
            let _ = fs::remove_dir(path);
        }
    }
}

fn make_all(path: &Path, made: &mut Vec<PathBuf>) -> nix::Result<()> {
    match mkdir(path, Mode::S_IRWXU) {
        Ok(()) => {
            made.push(path.to_owned());
            Ok(())
        }
        Err(Errno::EEXIST) => Ok(()),
        // Some file systems say this of any directory that can't be made in them.
        Err(Errno::ENOENT) => match path.parent() {
            Some(above) if !above.exists() => {
                make_all(above, made)?;
                make_all(path, made)
            }
            _ => Err(Errno::ENOENT),
        },
        Err(error) => Err(error),
    }
}

fn subdirectory(
    directory: impl AsFd,
    name: &'static str,
    made: &mut Vec<&'static str>,
) -> nix::Result<OwnedFd> {
    match mkdirat(&directory, name, Mode::S_IRWXU) {
        Ok(()) => made.push(name),
        Err(Errno::EEXIST) => {}
        Err(error) => return Err(error),
    }
    openat(directory, name, AS_DIR, Mode::empty())
}
