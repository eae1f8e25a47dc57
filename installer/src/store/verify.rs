// SPDX-License-Identifier: Apache-2.0
//! Whether trees still are what they were when they were extracted, and setting right those that are not.

use std::path::Path;

use anyhow::{Context, Result};
use pod::digest::Digest;
use pod::id::PodId;

use super::damage::told_apart;
use super::import::{Importer, New};
use super::info::Kind;
use super::references::References;
use super::tree::{self, Found, Tree, read_info};
use crate::extract::Expected;
use crate::home::Home;
use crate::record;
use crate::source::Source;
use crate::staging;

/// What verifying a tree came to.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is as it was.
    Intact,
    /// It differs in this, a line each.
    Damaged(Vec<String>),
    /// The store has none.
    Missing,
}

/// How a damaged tree was dealt with.
#[derive(Debug)]
pub(crate) enum Repair {
    /// It was extracted anew from the file it came from.
    Renewed,
    /// It was taken out of the store; these pods can't start until its archive is imported again.
    TakenOut(Vec<PodId>),
    /// A pod runs on it, or somebody else is at work with it.
    InUse,
}

/// Compares a tree with its record: all metadata and all content.
pub(crate) fn verify(home: &Home, id: Digest) -> Result<Verdict> {
    let tree = match Tree::look(home, id)? {
        Found::Whole(tree) => tree,
        Found::Nothing => return Ok(Verdict::Missing),
        Found::Damaged(error) => return Ok(Verdict::Damaged(vec![format!("{error:#}")])),
    };
    let differences = tree.root().and_then(|root| record::differences(tree.record()?, &root));
    Ok(match told_apart(differences).with_context(|| format!("cannot verify tree {id}"))? {
        Ok(differences) if differences.is_empty() => Verdict::Intact,
        Ok(differences) => Verdict::Damaged(differences.iter().map(ToString::to_string).collect()),
        Err(error) => Verdict::Damaged(vec![format!("{error:#}")]),
    })
}

/// Extracts a damaged tree anew from the file it came from; where that is not to be had, takes it out of the store.
pub(crate) fn repair(importer: &Importer<'_>, id: Digest) -> Result<Repair> {
    let home = importer.home;
    let name = tree::name(id);
    let Some(locked) = staging::lock(&home.trees, &name).context("cannot lock it")? else {
        return Ok(Repair::InUse);
    };
    let info = read_info(&locked.directory)?.ok();
    let source = info.as_ref().and_then(|info| info.source.as_deref());
    let kind = info.as_ref().map_or(Kind::Image, |info| info.kind);
    match source.map(|source| again(importer, Path::new(source), kind, id)) {
        Some(Ok(new)) => {
            new.replace(locked)?;
            Ok(Repair::Renewed)
        }
        failed => {
            if let Some(Err(error)) = failed {
                eprintln!("warning: {}", pod::text::one_line(&format!("cannot extract it anew: {error:#}")));
            }
            let pods = References::read(home)?.to(id).to_vec();
            staging::remove_from(home, &home.trees, &name, locked)?;
            Ok(Repair::TakenOut(pods))
        }
    }
}

/// Its tree from the file once more, whatever the store has.
fn again<'h>(importer: &Importer<'h>, file: &Path, kind: Kind, id: Digest) -> Result<New<'h>> {
    let mut source = Source::open(file)?;
    importer.unpack_new(&mut source, kind, Expected::Tar(id), false)
}
