// SPDX-License-Identifier: Apache-2.0
//! A plan → files in stage1. What an earlier start of the same pod left is taken away first, so a second start
//! finds the same as the first.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};
use pod::layout;
use pod::path::RelativePath;

use crate::in_root::InRoot;
use crate::plan::{self, Plan};
use crate::statuses;

const READABLE: Mode = Mode::from_bits_truncate(0o644);

/// Writes the plan's files and links.
pub(crate) fn apply(plan: &Plan, stage1: &InRoot) -> Result<()> {
    for directory in [layout::UNITS, layout::STATUS, layout::OWN, layout::APPS] {
        let path = RelativePath::from_bytes(directory.as_bytes())?;
        let opened = stage1.make_dir(&path).and_then(readable);
        let cleared = opened.map_err(Into::into).and_then(|opened| clear(&opened).map(|()| opened));
        let opened = cleared.with_context(|| format!("cannot clear stage1's {directory}"))?;
        if directory == layout::STATUS {
            let statuses = plan.statuses.iter().map(|(app, writes)| (app, *writes));
            statuses::reserve(&opened, statuses).context("cannot reserve room for the apps' statuses")?;
        }
    }
    stage1.make_dir(&RelativePath::from_bytes(layout::OUTCOME.as_bytes())?)?;
    for (path, content) in &plan.files {
        let mode = if path.starts_with(plan::LAUNCH) { Mode::from_bits_truncate(0o600) } else { READABLE };
        write(stage1, path, content.as_bytes(), mode)
            .with_context(|| format!("cannot write stage1's {path}"))?;
    }
    for (path, target) in &plan.links {
        write_link(stage1, path, target).with_context(|| format!("cannot make stage1's {path}"))?;
    }
    for root in &plan.roots {
        let path = RelativePath::from_bytes(root.at.as_bytes())?;
        stage1.make_dir(&path).with_context(|| format!("cannot make stage1's {}", root.at))?;
    }
    Ok(())
}

/// Writes a file in stage1 anew, whatever stood there; a link there is replaced, not followed.
pub(crate) fn write_file(stage1: &InRoot, path: &str, content: &[u8]) -> Result<()> {
    write(stage1, path, content, READABLE)
}

fn write(stage1: &InRoot, path: &str, content: &[u8], mode: Mode) -> Result<()> {
    replace(stage1, path, |parent, name| {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(parent, name, flags, mode)?;
        Ok(File::from(file).write_all(content)?)
    })
}

/// Makes a link in stage1 anew, whatever stood there.
pub(crate) fn write_link(stage1: &InRoot, path: &str, target: &str) -> Result<()> {
    replace(stage1, path, |parent, name| Ok(symlinkat(target, parent, name)?))
}

/// Takes a file or link away.
pub(crate) fn remove(stage1: &InRoot, path: &str) -> Result<()> {
    replace(stage1, path, |_, _| Ok(()))
}

fn replace(
    stage1: &InRoot,
    path: &str,
    make: impl FnOnce(BorrowedFd<'_>, &Path) -> Result<()>,
) -> Result<()> {
    let path = RelativePath::from_bytes(path.as_bytes())?;
    let (parent, name) = path.split_last().context("the root can't be replaced")?;
    let parent = stage1.make_dir(&parent)?;
    match unlinkat(&parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => make(parent.as_fd(), Path::new(name)),
        Err(error) => Err(error.into()),
    }
}

/// A descriptor to work with, from one that only names a directory.
pub(crate) fn readable(directory: impl AsFd) -> nix::Result<OwnedFd> {
    openat(directory, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// Removes what is in a directory, following nothing.
pub(crate) fn clear(directory: &OwnedFd) -> Result<()> {
    let mut names = Vec::new();
    for entry in Dir::from_fd(readable(directory)?)?.iter() {
        let name = entry?.file_name().to_owned();
        if name.as_c_str() != c"." && name.as_c_str() != c".." {
            names.push(name);
        }
    }
    for name in names {
        match unlinkat(directory, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
            Err(Errno::EISDIR) => {
                let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                clear(&openat(directory, name.as_c_str(), flags, Mode::empty())?)?;
                unlinkat(directory, name.as_c_str(), UnlinkatFlags::RemoveDir)?;
            }
            removed => removed?,
        }
    }
    Ok(())
}
