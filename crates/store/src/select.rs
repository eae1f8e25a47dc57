// SPDX-License-Identifier: Apache-2.0
//! Selects images of the store by what users call them: an id, the beginning of one, or a name.

use anyhow::{Result, bail};
use pod::id::{ImageId, TreeId};
use pod::text::escape;

use crate::alias;
use crate::data_dir::DataDir;
use crate::info::{Info, TreeKind};
use crate::tree::{Found, Tree, ids};
use report::{Advice, told};

const SHA256: &str = "sha256-";
/// How often an image is looked up again after it vanished before it could be opened.
const ATTEMPTS: usize = 16;

/// What a user called an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// A whole id, sha256 or sha512.
    Id(ImageId),
    /// `sha256-` and the first digits of an id.
    Prefix(String),
    /// The image's name.
    Name(String),
}

impl Selector {
    /// Parses an id or the beginning of one; returns `None` if the text is neither.
    pub fn id(text: &str) -> Option<Self> {
        if let Ok(id) = text.parse() {
            return Some(Self::Id(id));
        }
        let digits = text.strip_prefix(SHA256)?;
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        ((1..64).contains(&digits.len()) && digits.bytes().all(is_hex)).then(|| Self::Prefix(text.to_owned()))
    }

    /// Parses an id or the beginning of one; any other text is a name.
    pub fn any(text: &str) -> Self {
        Self::id(text).unwrap_or_else(|| Self::Name(text.to_owned()))
    }

    /// Returns the text as it was given.
    pub fn shown(&self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Prefix(text) | Self::Name(text) => escape(text),
        }
    }
}

/// Returns the one image that is meant.
///
/// # Errors
/// If the store has none or several.
pub fn resolve(data_dir: &DataDir, selector: &Selector) -> Result<Tree> {
    for _ in 0..ATTEMPTS {
        let Some(id) = one(&candidates(data_dir, selector)?, selector)? else { break };
        // No tree was open in between, so the image may be gone, and another one may be meant now.
        if let Some(tree) = Tree::open(data_dir, id, TreeKind::Image)? {
            return Ok(tree);
        }
    }
    Err(told(NoImage(selector.clone())))
}

/// The store has no image that a selector means.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", what(.0), .0.shown())]
pub struct NoImage(pub Selector);

fn what(selector: &Selector) -> &'static str {
    match selector {
        Selector::Name(_) => "no such file, and no image of this name in the store",
        Selector::Id(_) | Selector::Prefix(_) => "no such image in the store",
    }
}

impl Advice for NoImage {
    fn hint(&self) -> Option<String> {
        Some(format!("{} image list shows what there is", report::program()))
    }
}

/// Returns the trees of the images that can be meant.
fn candidates(data_dir: &DataDir, selector: &Selector) -> Result<Vec<TreeId>> {
    let images = match selector {
        Selector::Id(id) => return Ok(alias::tree_of(data_dir, *id)?.into_iter().collect()),
        Selector::Prefix(prefix) => {
            images(data_dir, ids(data_dir)?.into_iter().filter(|id| id.to_string().starts_with(prefix)))?
        }
        Selector::Name(name) => {
            let mut images = images(data_dir, ids(data_dir)?)?;
            images.retain(|(_, info)| info.name.as_ref().is_some_and(|of_image| of_image.as_str() == name));
            images
        }
    };
    Ok(images.into_iter().map(|(id, _)| id).collect())
}

fn one(found: &[TreeId], selector: &Selector) -> Result<Option<TreeId>> {
    if found.len() > 1 {
        let mut ids: Vec<_> = found.iter().map(ToString::to_string).collect();
        ids.sort();
        bail!("{} could be {}: expected one image's id", selector.shown(), ids.join(" or "));
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
            Found::Damaged(error) => data_dir.listener.warn(&format!("{error:#}")),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_their_beginnings_are_told_from_names() {
        let hex = "0123456789abcdef".repeat(4);
        let whole = format!("sha256-{hex}");
        assert_eq!(Selector::id(&whole), Some(Selector::Id(whole.parse().unwrap())));
        assert!(matches!(Selector::id(&format!("sha512-{hex}{hex}")), Some(Selector::Id(_))));
        for prefix in ["sha256-0", &whole[..70]] {
            assert_eq!(Selector::id(prefix), Some(Selector::Prefix(prefix.into())), "{prefix}");
        }
        for other in [
            "",
            "sha256",
            "sha256-",
            "sha256-x",
            "sha256-AB",
            "sha512-ab",
            "example.com/a",
            &format!("{whole}0"),
        ] {
            assert_eq!(Selector::id(other), None, "{other}");
        }
        assert_eq!(Selector::any("example.com/a"), Selector::Name("example.com/a".into()));
    }
}
