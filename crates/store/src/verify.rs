// SPDX-License-Identifier: Apache-2.0
//! Whether trees still are what they were when they were extracted, and setting right those that are not.
//!
//! Invariant: a damaged tree is taken out only where it is certain that the file it came from does not make it any
//! more. Whatever else goes wrong, an interrupt, a limit or the system, leaves it where it is.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result};
use pod::digest::Digest;
use pod::id::PodId;
use pod::text::{escape, one_line};
use rustix::io::Errno;

use crate::damage::told_apart;
use crate::extract::{Expected, Refused};
use crate::home::Home;
use crate::import::Importer;
use crate::info::{Info, Kind};
use crate::new::New;
use crate::record;
use crate::references::References;
use crate::source::Source;
use crate::staging;
use crate::tree::{self, Found, Tree, read_info};
use sys::Interrupt;

/// What verifying a tree came to.
#[derive(Debug)]
pub enum Verdict {
    /// It is as it was.
    Intact(Box<Tree>),
    /// It differs in this, a line each.
    Damaged(Vec<String>),
    /// The store has none.
    Missing,
}

/// How a damaged tree was dealt with.
#[derive(Debug)]
pub enum Repair {
    /// It was extracted anew from the file it came from.
    Renewed(Box<Tree>),
    /// It can't be, for this reason, and was taken out of the store; these pods can't start until its archive is
    /// imported again.
    TakenOut(String, Vec<PodId>),
    /// A pod runs on it, or somebody else is at work with it.
    InUse,
}

/// Compares a tree with its record: all metadata and all content.
///
/// # Errors
/// Where it can't be looked at for another reason than damage; once interrupted.
pub fn verify(home: &Home, id: Digest, interrupt: &Interrupt) -> Result<Verdict> {
    let found = Tree::look(home, id)?;
    interrupt.check()?;
    let tree = match found {
        Found::Whole(tree) => tree,
        Found::Nothing => return Ok(Verdict::Missing),
        Found::Damaged(error) => return Ok(Verdict::Damaged(vec![format!("{error:#}")])),
    };
    let differences = tree.root().and_then(|root| record::differences(tree.record()?, &root, interrupt));
    interrupt.check()?;
    Ok(match told_apart(differences).with_context(|| format!("cannot look at tree {id}"))? {
        Ok(differences) if differences.is_empty() => Verdict::Intact(tree),
        Ok(differences) => Verdict::Damaged(differences.iter().map(ToString::to_string).collect()),
        Err(error) => Verdict::Damaged(vec![format!("{error:#}")]),
    })
}

/// What there is to know of trees, by their ids, whatever the directories are called that they are in.
#[derive(Debug)]
pub struct Known(BTreeMap<Digest, Info>);

impl Known {
    /// Reads what the store says of its trees.
    ///
    /// # Errors
    /// Where one can't be looked at for another reason than damage.
    pub fn read(home: &Home) -> Result<Self> {
        let mut known = BTreeMap::new();
        for id in tree::ids(home)? {
            let read = || -> Result<Option<Info>> {
                tree::lock_shared(home, id)?.map_or(Ok(None), |directory| info(&directory))
            };
            match read() {
                Ok(info) => known.extend(info.map(|info| (info.id, info))),
                // No directory: it says nothing, and must not keep others from being repaired.
                Err(error) if matches!(error.downcast_ref(), Some(&(Errno::NOTDIR | Errno::LOOP))) => {}
                Err(error) => return Err(error).with_context(|| format!("cannot look at tree {id}")),
            }
        }
        Ok(Self(known))
    }
}

/// What is said about a tree; `None` where that is damaged.
fn info(directory: &OwnedFd) -> Result<Option<Info>> {
    Ok(told_apart(read_info(directory))?.ok())
}

/// Extracts a damaged tree anew from the file it came from; where that can't be any more, takes it out of the store.
/// Which file that is, its directory says, or else what was `known` of it.
///
/// # Errors
/// Where it can't be for now; it is still there then.
pub fn repair(importer: &Importer<'_>, known: &Known, id: Digest) -> Result<Repair> {
    let home = importer.home;
    let name = tree::name(id);
    let Some(locked) = staging::lock(&home.trees, &name).context("cannot lock it")? else {
        return Ok(Repair::InUse);
    };
    let own = info(&locked.directory)?.filter(|info| info.id == id);
    match again(importer, own.as_ref().or_else(|| known.0.get(&id)), id)? {
        Ok(new) => {
            importer.interrupt.check()?;
            Ok(Repair::Renewed(Box::new(new.replace(locked)?)))
        }
        Err(Lost(why)) => {
            let pods = References::read(home)?.to(id).to_vec();
            staging::remove_from_store(home, &name, locked)?;
            Ok(Repair::TakenOut(why, pods))
        }
    }
}

/// Why a tree can never be extracted anew.
struct Lost(String);

/// A tree from its file once more, whatever the store has.
fn again<'h>(importer: &Importer<'h>, info: Option<&Info>, id: Digest) -> Result<Result<New<'h>, Lost>> {
    let Some((kind, path)) = info.and_then(|info| Some((info.kind, Path::new(info.source.as_ref()?)))) else {
        return Ok(Err(Lost("nothing says which file it came from".into())));
    };
    let shown = escape(&path.to_string_lossy());
    if is_gone(path).with_context(|| format!("cannot look at {shown}"))? {
        return Ok(Err(Lost(format!("{shown} is not there any more"))));
    }
    let new =
        unpack(importer, path, kind, id).with_context(|| format!("cannot extract it anew from {shown}"));
    match new {
        Err(error) if error.is::<Refused>() => Ok(Err(Lost(one_line(&format!("{error:#}"))))),
        new => new.map(Ok),
    }
}

fn is_gone(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(!metadata.is_file()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

fn unpack<'h>(importer: &Importer<'h>, path: &Path, kind: Kind, id: Digest) -> Result<New<'h>> {
    importer.unpack_new(&mut Source::open(path)?, kind, Expected::Tar(id), false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::Silent;
    use crate::staging::tests::can_run;

    /// An interrupt is no damage, or the tree would be replaced.
    #[test]
    fn an_interrupt_is_no_verdict() {
        let Some(_nobody_starts) = can_run("an_interrupt_is_no_verdict") else { return };
        let outer = tempfile::tempdir().unwrap();
        let home = Home::open(outer.path(), &Interrupt::default(), &Silent).unwrap();
        let id = Digest::Sha256([7; 32]);
        fs::create_dir(outer.path().join(pod::layout::TREES).join(id.to_string())).unwrap();
        let verdict = |interrupt| verify(&home, id, &interrupt);
        assert!(matches!(verdict(Interrupt::default()), Ok(Verdict::Damaged(_))));
        assert!(verdict(Interrupt::by(15)).is_err());
    }
    #[test]
    fn what_is_no_tree_at_all_is_passed_over() {
        let Some(_nobody_starts) = can_run("what_is_no_tree_at_all_is_passed_over") else { return };
        let outer = tempfile::tempdir().unwrap();
        let home = Home::open(outer.path(), &Interrupt::default(), &Silent).unwrap();
        let id = Digest::Sha256([7; 32]);
        fs::write(outer.path().join(pod::layout::TREES).join(id.to_string()), "").unwrap();
        assert!(Known::read(&home).unwrap().0.is_empty());
        assert!(verify(&home, id, &Interrupt::default()).is_err());
    }
}
