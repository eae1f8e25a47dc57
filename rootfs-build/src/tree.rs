// SPDX-License-Identifier: Apache-2.0
//! A planned file system tree, before anything is written.
//!
//! Invariant: paths are relative and clean, every entry's parent is a directory of the tree and comes before it, and no
//! path is filled twice.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, ensure};

/// The object at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node<'a> {
    /// A directory and its mode.
    Directory {
        /// Permission bits.
        mode: u32,
    },
    /// A regular file.
    File {
        /// Permission bits.
        mode: u32,
        /// The contents.
        bytes: Cow<'a, [u8]>,
    },
    /// A symbolic link and its target.
    Symlink(PathBuf),
}

/// Entries by path, parents first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree<'a> {
    entries: BTreeMap<PathBuf, Node<'a>>,
}

impl<'a> Tree<'a> {
    /// Adds `node` at `path`. Missing parents become directories of mode 0755.
    ///
    /// # Errors
    /// Fails if the path is not relative and clean, is taken, or leads through an object that is no directory.
    pub fn add(&mut self, path: impl Into<PathBuf>, node: Node<'a>) -> Result<()> {
        let path = path.into();
        let clean = path.components().all(|component| matches!(component, Component::Normal(_)));
        ensure!(clean && path != Path::new(""), "bad path in the tree: {}", path.display());
        let parents: Vec<_> = path.ancestors().skip(1).filter(|parent| *parent != Path::new("")).collect();
        for parent in parents.into_iter().rev() {
            let node = self.entries.entry(parent.to_owned()).or_insert(Node::Directory { mode: 0o755 });
            let is_directory = matches!(node, Node::Directory { .. });
            ensure!(is_directory, "{}: {} is no directory", path.display(), parent.display());
        }
        ensure!(!self.entries.contains_key(&path), "{} is there twice", path.display());
        self.entries.insert(path, node);
        Ok(())
    }

    /// Adds a directory and its parents.
    ///
    /// # Errors
    /// Fails as [`Tree::add`] does.
    pub fn directory(&mut self, path: &str, mode: u32) -> Result<()> {
        self.add(path, Node::Directory { mode })
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// Fails as [`Tree::add`] does.
    pub fn symlink(&mut self, path: &str, target: impl Into<PathBuf>) -> Result<()> {
        self.add(path, Node::Symlink(target.into()))
    }

    /// Adds a regular file.
    ///
    /// # Errors
    /// Fails as [`Tree::add`] does.
    pub fn file(
        &mut self,
        path: impl Into<PathBuf>,
        mode: u32,
        bytes: impl Into<Cow<'a, [u8]>>,
    ) -> Result<()> {
        self.add(path, Node::File { mode, bytes: bytes.into() })
    }

    /// Returns all entries, sorted by path, so that parents come before what is in them.
    pub fn entries(&self) -> impl Iterator<Item = (&Path, &Node<'a>)> {
        self.entries.iter().map(|(path, node)| (path.as_path(), node))
    }

    /// Returns the sum of the files' sizes in bytes.
    pub fn size(&self) -> u64 {
        self.entries
            .values()
            .map(|node| match node {
                Node::File { bytes, .. } => bytes.len() as u64,
                Node::Directory { .. } | Node::Symlink(_) => 0,
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_first_and_nothing_is_filled_twice() {
        let mut tree = Tree::default();
        tree.file("a/b/c", 0o644, &b"xyz"[..]).unwrap();
        tree.file("a-b", 0o644, &b""[..]).unwrap();
        tree.symlink("l", "a").unwrap();
        tree.directory("a/d", 0o700).unwrap();
        let paths: Vec<_> = tree.entries().map(|(path, _)| path.to_str().unwrap()).collect();
        assert_eq!(paths, ["a", "a/b", "a/b/c", "a/d", "a-b", "l"]);
        assert_eq!(tree.size(), 3);
        for (path, expected) in [
            ("a/b/c", "a/b/c is there twice"),
            ("l/x", "l/x: l is no directory"),
            ("a/b/c/d", "a/b/c/d: a/b/c is no directory"),
            ("../x", "bad path in the tree: ../x"),
            ("/x", "bad path in the tree: /x"),
            ("", "bad path in the tree: "),
        ] {
            assert_eq!(tree.symlink(path, "x").unwrap_err().to_string(), expected);
        }
    }
}
