// SPDX-License-Identifier: Apache-2.0
//! Removes what a layer hides, and what one of its objects replaces.
//!
//! The tree's directories are listed in memory, so no walk has to find them: those below a path are emptied and removed,
//! the deepest first.

use std::os::fd::OwnedFd;

use pod::path::RelativePath;
use rustix::fs::{AtFlags, Dir, OFlags, unlinkat};
use rustix::io::Errno;

use super::super::open_directory;
use super::resolve;
use super::tree::Tree;
use crate::extract::listing::join;
use crate::fault::{Result, Within as _, check};
use archive::layer::{Hides, Whiteouts};
use sys::Interrupt;

/// How often a directory is listed until it is empty: file systems may leave out some of what is there while other
/// objects are being removed.
const ATTEMPTS: usize = 8;

impl Tree {
    /// Removes everything that a layer hides. What is not there is no error.
    pub(super) fn hide(&mut self, whiteouts: &Whiteouts, interrupt: &Interrupt) -> Result<()> {
        for (path, hides) in whiteouts.iter() {
            check(interrupt)?;
            self.hide_one(path, hides, whiteouts).within(|| format!("whiteout of {path}"))?;
        }
        Ok(())
    }

    fn hide_one(&mut self, path: &RelativePath, hides: Hides, whiteouts: &Whiteouts) -> Result<()> {
        match (hides, path.split_last()) {
            (Hides::All, Some((parent, name))) => {
                let Some(parent) = self.lower(&parent, whiteouts)? else { return Ok(()) };
                self.remove(&join(&parent, name.as_encoded_bytes())?)
            }
            (Hides::All, None) | (Hides::Below, _) => match self.lower(path, whiteouts)? {
                Some(directory) => self.remove_below(&directory),
                None => Ok(()),
            },
        }
    }

    /// Returns where lower layers have the directory `path`, if they have it.
    ///
    /// Where the layer has a directory entry, a link that lower layers have in its place isn't followed: the entry
    /// replaces it.
    fn lower(&self, path: &RelativePath, whiteouts: &Whiteouts) -> Result<Option<RelativePath>> {
        let mut prefix = RelativePath::default();
        for name in path.components() {
            let above = prefix;
            prefix = join(&above, name)?;
            if !whiteouts.replaces(&prefix) {
                continue;
            }
            let above = resolve::existing(&self.root, &self.directories, &above)?;
            let is_there = match above {
                Some(above) => self.directories.contains(&join(&above, name)?),
                None => false,
            };
            if !is_there {
                return Ok(None);
            }
        }
        resolve::existing(&self.root, &self.directories, path)
    }

    /// Removes the object at `path`, which has no link above it, and all below it.
    pub(super) fn remove(&mut self, path: &RelativePath) -> Result<()> {
        // The directory that was opened last may be one that goes away, or may have been found through a link that does.
        self.parent = None;
        let Some((parent, name)) = path.split_last() else { return self.remove_below(path) };
        let flags = if self.directories.contains(path) {
            self.remove_below(path)?;
            self.directories.forget(path);
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        let parent = open_directory(&self.root, &parent, OFlags::PATH)?;
        match unlinkat(parent, name, flags) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error).within(|| "cannot remove it"),
        }
    }

    /// Removes everything below the directory `path`.
    pub(super) fn remove_below(&mut self, path: &RelativePath) -> Result<()> {
        self.parent = None;
        for below in self.directories.take_below(path).iter().rev() {
            empty(&open_directory(&self.root, below, OFlags::RDONLY)?)?;
            let Some((parent, name)) = below.split_last() else { continue };
            let parent = open_directory(&self.root, &parent, OFlags::PATH)?;
            unlinkat(parent, name, AtFlags::REMOVEDIR).within(|| "cannot remove a directory below it")?;
        }
        empty(&open_directory(&self.root, path, OFlags::RDONLY)?)
    }
}

/// Removes all objects in a directory that has no directories in it.
fn empty(directory: &OwnedFd) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let mut is_empty = true;
        for entry in Dir::read_from(directory).within(|| "cannot list a directory")? {
            let entry = entry.within(|| "cannot list a directory")?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            is_empty = false;
            unlinkat(directory, entry.file_name(), AtFlags::empty())
                .within(|| "cannot remove an object below it")?;
        }
        if is_empty {
            return Ok(());
        }
    }
    Err(Errno::NOTEMPTY).within(|| "cannot empty a directory")
}
