// SPDX-License-Identifier: Apache-2.0
//! A new tree in staging, and how it gets into the store.
//!
//! Invariant: if it can't be published, nothing of it is left, and the store's content is as it was. It stays
//! exclusively locked until all aliases exist, so no other process can be using it yet.

use std::io;

use pod::id::{ImageId, TreeId};
use pod::layout;
use rustix::fs::{AtFlags, statat};

use crate::alias::{self, Alias};
use crate::data_dir::DataDir;
use crate::error::{About as _, Error, Result};
use crate::extract::Verified;
use crate::fault::Fault;
use crate::info::{Info, OwnName, TreeKind, now};
use crate::recipe::{Recipe, Rendered};
use crate::record::Sealed;
use crate::share::share;
use crate::staging::{Locked, Published, Staging, Sync};
use crate::tree::{self, Tree};
use crate::unpacker::layers::Flattened;
use crate::verify::{self, Verdict};
use sys::InRoot;
use sys::Interrupt;

/// How often publishing is tried again after another process has published the tree and it was then removed.
const ATTEMPTS: usize = 16;

/// Reads what an image calls itself, in the image's tree.
///
/// This is a parameter because the store knows no image format.
pub type NameOf = fn(&InRoot) -> Result<OwnName, Fault>;

/// A new tree in staging.
#[derive(Debug)]
pub struct New<'h> {
    pub(crate) data_dir: &'h DataDir,
    pub(crate) interrupt: &'h Interrupt,
    pub(crate) name_of: NameOf,
    pub(crate) staging: Staging<'h>,
    pub(crate) kind: TreeKind,
    pub(crate) complete: Complete,
    /// Path of the archive file that it came from.
    pub(crate) source: Option<String>,
}

/// A complete tree. Only a proof of that makes one: [`Verified`], [`Flattened`] or [`Rendered`].
#[derive(Debug)]
pub(crate) struct Complete {
    pub(crate) id: TreeId,
    size: u64,
    objects: u64,
    /// The tree's other names.
    aliases: Vec<Alias>,
    /// The recipe, if it is a rendered tree.
    recipe: Option<Recipe>,
}

impl From<Verified> for Complete {
    fn from(verified: Verified) -> Self {
        let sha512 = verified.digests().sha512.map(|sha512| Alias::Image(ImageId::of_tar(sha512)));
        Self {
            id: verified.id(),
            size: verified.size(),
            objects: verified.objects(),
            // The file's comes last: by it, the tree is found without a look at the others.
            aliases: sha512.into_iter().chain([Alias::File(verified.file())]).collect(),
            recipe: None,
        }
    }
}

impl Complete {
    /// Accepts the tree of an image of layers. Its id is the digest of the image's configuration, which states the
    /// digests of the layers.
    pub(crate) fn of_layers(id: TreeId, sha512: ImageId, flattened: &Flattened) -> Self {
        let aliases = vec![Alias::Image(sha512)];
        Self { id, size: flattened.size(), objects: flattened.objects(), aliases, recipe: None }
    }

    /// Accepts the tree that was rendered by this recipe.
    pub(crate) fn of_rendered(recipe: &Recipe, Rendered(Sealed { objects, size }): Rendered) -> Self {
        Self { id: recipe.id(), size, objects, aliases: Vec::new(), recipe: Some(recipe.clone()) }
    }

    /// Returns the length of the archive file that it came from.
    pub(crate) fn file_length(&self) -> Option<u64> {
        self.aliases.iter().find_map(|alias| match alias {
            Alias::File(file) => Some(file.length),
            Alias::Image(_) => None,
        })
    }

    /// Returns the ids, beside the tree's, that an image is called by.
    pub(crate) fn other_ids(&self) -> impl Iterator<Item = ImageId> {
        self.aliases.iter().filter_map(|alias| match alias {
            Alias::Image(id) => Some(*id),
            Alias::File(_) => None,
        })
    }
}

/// How a tree got into the store.
enum Entered {
    /// Another process has put it there.
    Known(Box<Tree>),
    /// The store did not have it before.
    First,
    /// It replaced a damaged tree, which now has its name in staging.
    Replacing,
}

/// A tree that is in the store now.
#[derive(Debug)]
pub struct Stored {
    /// The tree.
    pub tree: Tree,
    /// Whether the store did not have it before.
    pub is_new: bool,
}

impl New<'_> {
    /// Puts the tree into the store, if it is not there.
    pub(crate) fn publish(self) -> Result<Stored> {
        let info = self.describe()?;
        let is_new = match self.enter()? {
            Entered::Known(tree) => {
                drop(self.staging);
                name(self.data_dir, &self.complete)?;
                return Ok(Stored { tree: *tree, is_new: false });
            }
            Entered::First => true,
            Entered::Replacing => false,
        };
        if let Err(error) = name(self.data_dir, &self.complete).and_then(|()| self.staging.share()) {
            if is_new {
                self.take_out();
            }
            return Err(error);
        }
        if !is_new {
            // The damaged tree is removed, unless a pod still runs on it; then a later sweep removes it.
            Staging::sweep_or_warn(self.data_dir)?;
        }
        let (data_dir, interrupt) = (self.data_dir, self.interrupt);
        let tree = Tree::published(info.id, info, self.staging.into_locked());
        share(data_dir, &tree, interrupt);
        Ok(Stored { tree, is_new })
    }

    /// Takes the tree out of the store again. A tree that can't be taken out is complete, and gc can remove it.
    fn take_out(self) {
        let _ = self.staging.try_withdraw(&self.data_dir.trees, &tree::name(self.complete.id));
        drop(self.staging);
        let _ = alias::sweep(self.data_dir);
    }

    /// Replaces the locked tree `damaged`, which has the same id. The new tree is still exclusively locked afterwards.
    pub(crate) fn replace(self, damaged: Locked) -> Result<Tree> {
        let info = self.describe()?;
        self.staging.replace(&tree::name(info.id))?;
        self.staging.remove()?;
        drop(damaged);
        Ok(Tree::published(info.id, info, self.staging.into_locked()))
    }

    /// Writes the tree's info.
    fn describe(&self) -> Result<Info> {
        let root = InRoot::below(&self.staging, layout::TREE)?;
        let name = match self.kind {
            TreeKind::Stage1 => None,
            TreeKind::Image | TreeKind::Rendered => Some((self.name_of)(&root)?),
        };
        let (name, labels) = name.map(|own| (own.name, own.labels)).unzip();
        let record = statat(&self.staging, layout::TREE_RECORD, AtFlags::SYMLINK_NOFOLLOW)
            .about(|| "cannot examine the record")?;
        let info = Info {
            id: self.complete.id,
            sha512: self.complete.other_ids().next(),
            kind: self.kind,
            name,
            labels: labels.unwrap_or_default(),
            size: self.complete.size,
            objects: self.complete.objects,
            record: u64::try_from(record.st_size).unwrap_or_default(),
            imported: now(),
            source: self.source.clone(),
            recipe: self.complete.recipe.clone(),
        };
        self.staging.write_file(layout::TREE_INFO, &serde_json::to_vec(&info).map_err(io::Error::from)?)?;
        Ok(info)
    }

    /// Moves the tree to its place in the store.
    ///
    /// If the store has the tree by now, that one is verified. If it is intact, it is used; if it is damaged, it is
    /// replaced.
    fn enter(&self) -> Result<Entered> {
        let (data_dir, staging, id) = (self.data_dir, &self.staging, self.complete.id);
        let name = tree::name(id);
        for _ in 0..ATTEMPTS {
            if staging.publish(&data_dir.trees, &name, Sync::FileSystem)? == Published::New {
                return Ok(Entered::First);
            }
            match verify::verify(data_dir, id, self.interrupt)? {
                Verdict::Intact(tree) => return Ok(Entered::Known(tree)),
                // It was removed in between.
                Verdict::Missing => {}
                Verdict::Damaged(lines) => {
                    data_dir.listener.warn(&replaces(id, &lines));
                    staging.replace(&name)?;
                    return Ok(Entered::Replacing);
                }
            }
        }
        Err(Error::Contended(format!(
            "tree {id} was added and removed by others {ATTEMPTS} times: expected it to stay"
        )))
    }
}

fn replaces(id: TreeId, lines: &[String]) -> String {
    let (first, count) = (lines.first().map(String::as_str).unwrap_or_default(), lines.len());
    format!("tree {id} in the store is damaged ({count} differences): {first}: it is replaced")
}

/// Sets the aliases of a tree that is in the store.
fn name(data_dir: &DataDir, complete: &Complete) -> Result<()> {
    complete.aliases.iter().try_for_each(|alias| alias.set(data_dir, complete.id))
}
