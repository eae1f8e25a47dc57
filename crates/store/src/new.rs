// SPDX-License-Identifier: Apache-2.0
//! A new tree in staging, and how it gets into the store.
//!
//! Invariant: if it can't be published, nothing of it is left, and the store's content is as it was. It stays
//! exclusively locked until all aliases exist, so no other process can be using it yet.

use anyhow::{Context, Result, bail};
use pod::id::{ImageId, TreeId};
use pod::layout;
use rustix::fs::{AtFlags, statat};

use crate::alias::{self, Alias};
use crate::extract::Verified;
use crate::home::Home;
use crate::import::NameOf;
use crate::info::{Info, Kind, now};
use crate::staging::{Locked, Published, Staging, Sync};
use crate::tree::{self, Tree};
use crate::verify::{self, Verdict};
use sys::InRoot;
use sys::Interrupt;

/// How often publishing is tried again after another process has published the tree and it was then removed.
const ATTEMPTS: usize = 16;

/// A new tree in staging.
#[derive(Debug)]
pub struct New<'h> {
    pub(crate) home: &'h Home,
    pub(crate) interrupt: &'h Interrupt,
    pub(crate) name_of: NameOf,
    pub(crate) staging: Staging<'h>,
    pub(crate) kind: Kind,
    pub(crate) verified: Verified,
    /// Path of the archive file that it came from.
    pub(crate) source: Option<String>,
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

impl New<'_> {
    /// Puts the tree into the store, if it is not there; the `bool` tells whether the store did not have it.
    pub(crate) fn publish(self) -> Result<(Tree, bool)> {
        let (home, id) = (self.home, self.verified.id());
        let entered = self.describe().and_then(|info| Ok((info, self.enter()?)));
        let (info, is_first) = match entered {
            Ok((info, Entered::First)) => (info, true),
            Ok((info, Entered::Replacing)) => (info, false),
            Ok((_, Entered::Known(tree))) => {
                self.staging.discard();
                return name(home, &self.verified).map(|()| (*tree, false));
            }
            Err(error) => {
                self.staging.discard();
                return Err(error);
            }
        };
        match name(home, &self.verified).and_then(|()| self.staging.share()) {
            Ok(()) if is_first => {}
            // The damaged tree is removed, unless a pod still runs on it; then a later sweep removes it.
            Ok(()) => Staging::sweep_or_warn(home)?,
            Err(error) if is_first => {
                // A tree that can't be withdrawn is complete, and gc can remove it.
                let _ = self.staging.try_withdraw(&home.trees, &tree::name(id));
                self.staging.discard();
                let _ = alias::sweep(home);
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        Ok((Tree::published(id, info, self.staging.into_locked()), is_first))
    }

    /// Replaces the locked tree `damaged`, which has the same id. The new tree is still exclusively locked afterwards.
    pub(crate) fn replace(self, damaged: Locked) -> Result<Tree> {
        let id = self.verified.id();
        let replace = |info| {
            self.staging.replace(&tree::name(id))?;
            Ok(info)
        };
        match self.describe().and_then(replace) {
            Ok(info) => {
                self.staging.remove()?;
                drop(damaged);
                Ok(Tree::published(id, info, self.staging.into_locked()))
            }
            Err(error) => {
                self.staging.discard();
                Err(error)
            }
        }
    }

    /// Writes the tree's info.
    fn describe(&self) -> Result<Info> {
        let root = InRoot::open_at(&self.staging, layout::TREE)?;
        let name = match self.kind {
            Kind::Stage1 => None,
            Kind::Image => Some((self.name_of)(&root)?),
        };
        let record = statat(&self.staging, layout::TREE_RECORD, AtFlags::SYMLINK_NOFOLLOW)
            .context("cannot look at the record")?;
        let info = Info {
            id: self.verified.id(),
            kind: self.kind,
            name,
            size: self.verified.size(),
            objects: self.verified.objects(),
            record: u64::try_from(record.st_size).unwrap_or_default(),
            imported: now(),
            source: self.source.clone(),
        };
        self.staging.write_file(layout::TREE_INFO, &serde_json::to_vec(&info)?)?;
        Ok(info)
    }

    /// Moves the tree to its place in the store.
    ///
    /// If the store has the tree by now, that one is verified. If it is intact, it is used; if it is damaged, it is
    /// replaced.
    fn enter(&self) -> Result<Entered> {
        let (home, staging, id) = (self.home, &self.staging, self.verified.id());
        let name = tree::name(id);
        for _ in 0..ATTEMPTS {
            if staging.publish(&home.trees, &name, Sync::FileSystem)? == Published::New {
                return Ok(Entered::First);
            }
            match verify::verify(home, id, self.interrupt)? {
                Verdict::Intact(tree) => return Ok(Entered::Known(tree)),
                // It was removed in between.
                Verdict::Missing => {}
                Verdict::Damaged(lines) => {
                    home.listener.warn(&replaces(id, &lines));
                    staging.replace(&name)?;
                    return Ok(Entered::Replacing);
                }
            }
        }
        bail!("tree {id} came and went {ATTEMPTS} times: expected it to stay")
    }
}

fn replaces(id: TreeId, lines: &[String]) -> String {
    let (first, count) = (lines.first().map(String::as_str).unwrap_or_default(), lines.len());
    format!("tree {id} in the store is damaged ({count} differences): {first}: it is replaced")
}

/// Sets the aliases of a tree that is in the store.
fn name(home: &Home, verified: &Verified) -> Result<()> {
    let id = verified.id();
    Alias::File(verified.file()).set(home, id)?;
    let sha512 = verified.digests().sha512.map(ImageId::of_tar);
    sha512.map_or(Ok(()), |image| Alias::Image(image).set(home, id))
}
