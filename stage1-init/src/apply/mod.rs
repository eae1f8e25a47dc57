// SPDX-License-Identifier: Apache-2.0
//! Writes a plan's files into stage1.
//!
//! What an earlier start of the same pod left is removed first, so a second start finds the same state as the first.

pub(crate) mod clear;
pub(crate) mod localtime;

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};
use pod::layout;
use pod::path::RelativePath;

use self::clear::{check_same_mount, readable};
use crate::exchange::statuses;
use crate::in_root::InRoot;
use crate::plan::{self, Plan};

const READABLE: Mode = Mode::from_bits_truncate(0o644);

/// Writes the plan's files and links, and makes the places for the apps' roots.
pub(crate) fn apply(plan: &Plan, stage1: &InRoot) -> Result<()> {
    clear_all(plan, stage1)?;
    let outcome = stage1.make_dir(&RelativePath::from_bytes(layout::OUTCOME.as_bytes())?)?;
    check_same_mount(stage1, outcome).with_context(|| format!("stage1's {}", layout::OUTCOME))?;
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

/// Makes and empties the directories that belong to the plan alone, and reserves room for the apps' statuses.
///
/// If something is mounted in any of them, none is emptied.
fn clear_all(plan: &Plan, stage1: &InRoot) -> Result<()> {
    let mut all = Vec::new();
    for name in [layout::UNITS, layout::STATUS, layout::OWN, layout::APPS] {
        let path = RelativePath::from_bytes(name.as_bytes())?;
        let open = || -> Result<OwnedFd> {
            let directory = readable(stage1.make_dir(&path)?)?;
            clear::check(stage1, &directory)?;
            Ok(directory)
        };
        all.push((name, open().with_context(|| format!("cannot clear stage1's {name}"))?));
    }
    all.iter().try_for_each(|(name, directory)| {
        clear::clear(stage1, directory).with_context(|| format!("cannot clear stage1's {name}"))?;
        if *name == layout::STATUS {
            let statuses = plan.statuses.iter().map(|(app, writes)| (app, *writes));
            statuses::reserve(directory, statuses).context("cannot reserve room for the apps' statuses")?;
        }
        Ok(())
    })
}

/// Writes a file in stage1, replacing what was there; a link is replaced, not followed.
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

/// Makes a link in stage1, replacing what was there.
pub(crate) fn write_link(stage1: &InRoot, path: &str, target: &str) -> Result<()> {
    replace(stage1, path, |parent, name| Ok(symlinkat(target, parent, name)?))
}

/// Removes a file or link from stage1, if it is there.
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
    check_same_mount(stage1, &parent)?;
    match unlinkat(&parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => make(parent.as_fd(), Path::new(name)),
        Err(error) => Err(error.into()),
    }
}
