// SPDX-License-Identifier: Apache-2.0
//! Writes files and links into a tree. What was there is replaced; a link is replaced, not followed.
//!
//! Invariant: nothing is written through a mount.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use pod::path::RelativePath;
use rustix::fs::{AtFlags, Mode, OFlags, openat, symlinkat, unlinkat};
use rustix::io::Errno;
use sys::{CalledOn as _, InRoot};

use super::clear::check_same_mount;

/// The mode of files that all may read.
pub(crate) const READABLE: u32 = 0o644;

/// Writes a file.
pub(crate) fn file(root: &InRoot, path: &RelativePath, content: &[u8], mode: u32) -> Result<()> {
    replace(root, path, |parent, name| {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(parent, name, flags, Mode::from_raw_mode(mode)).called_on("openat", name)?;
        Ok(File::from(file).write_all(content)?)
    })
}

/// Makes a link.
pub(crate) fn link(root: &InRoot, path: &RelativePath, target: &str) -> Result<()> {
    replace(root, path, |parent, name| Ok(symlinkat(target, parent, name).called_on("symlinkat", name)?))
}

/// Removes a file or link, if it is there.
pub(crate) fn remove(root: &InRoot, path: &RelativePath) -> Result<()> {
    replace(root, path, |_, _| Ok(()))
}

fn replace(
    root: &InRoot,
    path: &RelativePath,
    make: impl FnOnce(BorrowedFd<'_>, &Path) -> Result<()>,
) -> Result<()> {
    let (parent, name) = path.split_last().context("the root can't be replaced")?;
    let parent = root.make_dir(&parent)?;
    check_same_mount(root, &parent)?;
    match unlinkat(&parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => make(parent.as_fd(), Path::new(name)),
        Err(error) => Ok(Err(error).called_on("unlinkat", name)?),
    }
}
