// SPDX-License-Identifier: Apache-2.0
//! Selects images of the store by what users call them.

use pod::id::TreeId;

use crate::alias;
use crate::data_dir::DataDir;
use crate::error::{Error, Result};
use crate::info::{Info, TreeKind};
use crate::names::Names;
use crate::selector::{Labelled, NoImage, Selector};
use crate::tree::{Found, Tree, ids};

/// How often an image is looked up again after it vanished before it could be opened.
const ATTEMPTS: usize = 16;

/// Returns the one image that is meant.
///
/// # Errors
/// If the store has none or several.
pub fn resolve(data_dir: &DataDir, selector: &Selector) -> Result<Tree> {
    find(data_dir, selector)?.ok_or_else(|| Error::NoImage(NoImage(selector.clone())))
}

/// Returns the one image that is meant, if the store has any that may be.
///
/// # Errors
/// If the store has several.
pub fn find(data_dir: &DataDir, selector: &Selector) -> Result<Option<Tree>> {
    for _ in 0..ATTEMPTS {
        let Some(id) = one(&candidates(data_dir, selector)?, selector)? else { break };
        // No tree was open in between, so the image may be gone, and another one may be meant now.
        if let Some(tree) = Tree::open(data_dir, id, TreeKind::Image)? {
            return Ok(Some(tree));
        }
    }
    Ok(None)
}

/// Returns the trees of the images that can be meant.
fn candidates(data_dir: &DataDir, selector: &Selector) -> Result<Vec<TreeId>> {
    let images = match selector {
        Selector::Id(id) => return Ok(alias::tree_of(data_dir, *id)?.into_iter().collect()),
        Selector::Prefix(prefix) => {
            images(data_dir, ids(data_dir)?.into_iter().filter(|id| id.to_string().starts_with(prefix)))?
        }
        Selector::Name(name) => {
            let called = called(data_dir, name)?;
            if !called.is_empty() {
                return Ok(called);
            }
            let mut images = images(data_dir, ids(data_dir)?)?;
            let labelled = Labelled::parse(name);
            images.retain(|(_, info)| {
                let is_name = info.name.as_ref().is_some_and(|of_image| of_image.as_str() == name);
                is_name || labelled.as_ref().is_some_and(|labelled| labelled.is(info))
            });
            images
        }
    };
    Ok(images.into_iter().map(|(id, _)| id).collect())
}

/// Returns the images in the store that have been given a name.
fn called(data_dir: &DataDir, name: &str) -> Result<Vec<TreeId>> {
    let names = Names::read(data_dir)?;
    let mut found: Vec<_> = names.find(name).into_iter().map(|(id, _)| id).collect();
    found.sort_unstable();
    found.dedup();
    Ok(images(data_dir, found)?.into_iter().map(|(id, _)| id).collect())
}

fn one(found: &[TreeId], selector: &Selector) -> Result<Option<TreeId>> {
    if found.len() > 1 {
        let mut trees = found.to_vec();
        trees.sort_unstable();
        return Err(Error::Ambiguous(selector.clone(), trees));
    }
    Ok(found.first().copied())
}

/// Returns those of the trees that are images, with their infos.
///
/// No tree is open afterwards. Trees removed meanwhile are skipped. Damaged ones are skipped with a warning, so they
/// can't be selected by name.
///
/// # Errors
/// If a tree can't be examined, since it might be any image.
pub fn images(data_dir: &DataDir, ids: impl IntoIterator<Item = TreeId>) -> Result<Vec<(TreeId, Info)>> {
    let mut all = Vec::new();
    for id in ids {
        match Tree::look(data_dir, id)? {
            Found::Whole(tree) if tree.info().kind == TreeKind::Image => all.push((id, tree.info().clone())),
            Found::Whole(_) | Found::Nothing => {}
            Found::Damaged(fault) => data_dir.listener.warn(&Error::Damaged(id, fault).to_string()),
        }
    }
    Ok(all)
}
