// SPDX-License-Identifier: Apache-2.0
//! Pod directories under construction: locked by their builder, published whole, swept when their builder is dead.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat};
use nix::sys::stat::{Mode, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, syncfs, unlinkat};
use pod::id::PodId;
use rustix::fs::{RenameFlags, renameat_with};

use crate::directory::Directory;

const AS_DIR: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// A pod directory that is being built.
#[derive(Debug)]
pub(crate) struct Staging {
    /// The pod's id, which names the directory.
    pub(crate) id: PodId,
    /// The directory.
    pub(crate) root: Flock<OwnedFd>,
}

impl Staging {
    /// Makes a new one, with a random id.
    pub(crate) fn new(directory: &Directory) -> Result<Self> {
        loop {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).context("no random bytes for a pod id")?;
            let id = PodId::from_random(bytes);
            let name = id.to_string();
            match mkdirat(&directory.staging, name.as_str(), Mode::S_IRWXU) {
                Err(Errno::EEXIST) => continue,
                made => made.context("cannot make a staging directory")?,
            }
            // A sweep may come between: then it has locked or removed what is not locked yet.
            let Ok(root) = openat(&directory.staging, name.as_str(), AS_DIR, Mode::empty()) else { continue };
            let Ok(root) = Flock::lock(root, FlockArg::LockExclusiveNonblock) else { continue };
            if fstat(&*root)?.st_nlink > 0 {
                return Ok(Self { id, root });
            }
        }
    }

    /// Makes the pod one of the pods: durable, then visible, then durably visible.
    pub(crate) fn publish(&self, directory: &Directory) -> Result<()> {
        let name = self.id.to_string();
        syncfs(&*self.root).context("cannot write the pod to disk")?;
        renameat_with(&directory.staging, &name, &directory.containers, &name, RenameFlags::NOREPLACE)
            .with_context(|| format!("cannot publish pod {name}"))?;
        nix::unistd::fsync(&directory.containers).context("cannot write the pods' directory to disk")
    }

    /// Removes what was built.
    pub(crate) fn discard(self, directory: &Directory) -> Result<()> {
        remove(&directory.staging, &c_string(self.id))
    }
}

/// Removes what dead builders left.
pub(crate) fn sweep(directory: &Directory) -> Result<()> {
    for name in names(&directory.staging)? {
        let Ok(left) = openat(&directory.staging, name.as_c_str(), AS_DIR, Mode::empty()) else { continue };
        // Whoever builds holds the lock.
        if let Ok(_dead) = Flock::lock(left, FlockArg::LockExclusiveNonblock) {
            remove(&directory.staging, &name)?;
        }
    }
    Ok(())
}

/// Creates a directory of the pod's own, and opens it.
pub(crate) fn create_dir(parent: impl AsFd, name: &str, mode: Mode) -> Result<OwnedFd> {
    let about = || format!("cannot make directory {name}");
    mkdirat(&parent, name, mode).with_context(about)?;
    openat(parent, name, AS_DIR, Mode::empty()).with_context(about)
}

/// Creates a file of the pod's own.
pub(crate) fn create_file(parent: impl AsFd, name: &str) -> nix::Result<File> {
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::from_bits_truncate(0o644)).map(File::from)
}

fn c_string(id: PodId) -> CString {
    CString::new(id.to_string()).expect("an id has no NUL")
}

/// Removes a file or a tree, following nothing.
fn remove(parent: impl AsFd, name: &CString) -> Result<()> {
    match unlinkat(&parent, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR) => {}
        Err(error) => return Err(error).with_context(|| format!("cannot remove {}", shown(name))),
    }
    let about = || format!("cannot remove directory {}", shown(name));
    let directory = openat(&parent, name.as_c_str(), AS_DIR, Mode::empty()).with_context(about)?;
    for entry in names(&directory).with_context(about)? {
        remove(&directory, &entry)?;
    }
    unlinkat(&parent, name.as_c_str(), UnlinkatFlags::RemoveDir).with_context(about)
}

fn names(directory: impl AsFd) -> Result<Vec<CString>> {
    let listed = openat(directory, ".", AS_DIR, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::from_fd(listed)?.iter() {
        let name = entry?.file_name().to_owned();
        if name.as_c_str() != c"." && name.as_c_str() != c".." {
            names.push(name);
        }
    }
    Ok(names)
}

fn shown(name: &CString) -> String {
    pod::text::escape_bytes(name.as_bytes())
}
