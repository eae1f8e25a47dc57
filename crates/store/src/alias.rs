// SPDX-License-Identifier: Apache-2.0
//! Aliases: other names that trees are known by.
//!
//! Each alias is a symbolic link beside the trees, so it appears atomically, together with its target. An alias is made
//! once its tree is published. It states nothing that the tree's own verification did not: which archive file the tree
//! came from, or what the sha512 of its tar is. An alias that leads nowhere means nothing; gc removes it.

use std::os::fd::AsFd as _;

use pod::id::{ImageId, TreeId};
use pod::layout;
use rustix::fs::{AtFlags, Dir, readlinkat, renameat, symlinkat, unlinkat};
use rustix::io::Errno;

use crate::data_dir::DataDir;
use crate::error::{About as _, Result};
use crate::extract::ArchiveFile;

/// Another name of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alias {
    /// The archive file that it came from.
    File(ArchiveFile),
    /// An id of the image that is not its tree's id: the sha512 of its tar.
    Image(ImageId),
}

impl Alias {
    fn name(self) -> String {
        match self {
            Self::File(ArchiveFile { digest, length }) => format!("{}{digest}", of_length(length)),
            Self::Image(id) => id.to_string(),
        }
    }

    /// Returns the id of the tree that the alias leads to, without checking that the tree exists.
    pub(crate) fn find(self, data_dir: &DataDir) -> Result<Option<TreeId>> {
        match readlinkat(&data_dir.aliases, self.name(), Vec::new()) {
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            target => Ok(parse(target.about(|| "cannot read the store's aliases")?.to_bytes())),
        }
    }

    /// Makes the alias lead to the tree `id`, wherever it led before.
    pub(crate) fn set(self, data_dir: &DataDir, id: TreeId) -> Result<()> {
        let (name, target) = (self.name(), target(id));
        let set = || -> Result<()> {
            match symlinkat(&target, &data_dir.aliases, &name) {
                Err(Errno::EXIST) if self.find(data_dir)? == Some(id) => Ok(()),
                Err(Errno::EXIST) => {
                    let new = format!("{name}.{}", std::process::id());
                    match unlinkat(&data_dir.aliases, &new, AtFlags::empty()) {
                        Ok(()) | Err(Errno::NOENT) => {}
                        Err(error) => return Err(error.into()),
                    }
                    symlinkat(&target, &data_dir.aliases, &new)?;
                    Ok(renameat(&data_dir.aliases, &new, &data_dir.aliases, &name)?)
                }
                done => Ok(done?),
            }
        };
        set().about(|| "cannot set an alias in the store")
    }

    /// Tells whether any tree came from an archive file of this length.
    pub(crate) fn knows_length(data_dir: &DataDir, length: u64) -> Result<bool> {
        let prefix = of_length(length);
        Ok(names(data_dir)?.iter().any(|name| name.starts_with(&prefix)))
    }
}

/// Returns the id of an image's tree, without checking that the tree exists; `None` if the store doesn't know it.
pub(crate) fn tree_of(data_dir: &DataDir, image: ImageId) -> Result<Option<TreeId>> {
    image.as_tree().map_or_else(|| Alias::Image(image).find(data_dir), |tree| Ok(Some(tree)))
}

/// Returns the lengths of the archive files that a tree is known to have come from.
pub(crate) fn file_lengths(data_dir: &DataDir, id: TreeId) -> Result<Vec<u64>> {
    let mut lengths = Vec::new();
    for name in names(data_dir)? {
        let length = name.strip_prefix("file-").and_then(|rest| rest.split('-').next()?.parse().ok());
        let Some(length) = length else { continue };
        let target = readlinkat(&data_dir.aliases, &name, Vec::new()).ok();
        if target.and_then(|target| parse(target.to_bytes())) == Some(id) {
            lengths.push(length);
        }
    }
    Ok(lengths)
}

/// Returns the id of an image that is a sha512, by the alias that leads to its tree.
pub(crate) fn sha512_of(data_dir: &DataDir, tree: TreeId) -> Result<Option<ImageId>> {
    for name in names(data_dir)? {
        let id: Option<ImageId> = name.parse().ok();
        if let Some(id) = id.filter(|id| id.as_tree().is_none())
            && Alias::Image(id).find(data_dir)? == Some(tree)
        {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Removes the aliases that lead nowhere.
pub(crate) fn sweep(data_dir: &DataDir) -> Result<()> {
    for name in names(data_dir)? {
        let found = readlinkat(&data_dir.aliases, &name, Vec::new());
        let tree = found.ok().and_then(|target| parse(target.to_bytes()));
        let is_there = |id: TreeId| {
            rustix::fs::accessat(
                data_dir.trees.as_fd(),
                id.to_string(),
                rustix::fs::Access::EXISTS,
                AtFlags::empty(),
            )
            .is_ok()
        };
        if !tree.is_some_and(is_there) {
            match unlinkat(&data_dir.aliases, &name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error).about(|| "cannot remove an alias from the store"),
            }
        }
    }
    Ok(())
}

fn of_length(length: u64) -> String {
    format!("file-{length}-")
}

/// Returns the link target of an alias of the tree `id`.
///
/// It is relative to the aliases' directory, so that users can follow the link, too.
fn target(id: TreeId) -> String {
    let trees = layout::TREES.rsplit('/').next().unwrap_or_default();
    format!("../{trees}/{id}")
}

fn parse(target: &[u8]) -> Option<TreeId> {
    std::str::from_utf8(target.rsplit(|byte| *byte == b'/').next()?).ok()?.parse().ok()
}

/// Lists Gantry's own names in the aliases' directory.
fn names(data_dir: &DataDir) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in Dir::read_from(&data_dir.aliases).about(|| "cannot list the store's aliases")? {
        let entry = entry.about(|| "cannot list the store's aliases")?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("file-") || name.starts_with("sha512-") {
            all.push(name);
        }
    }
    Ok(all)
}
