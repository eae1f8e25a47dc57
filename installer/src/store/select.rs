// SPDX-License-Identifier: Apache-2.0
//! Images of the store, as people call them: by id, by the beginning of one, or by name.

use anyhow::{Result, anyhow, bail};
use pod::digest::Digest;
use pod::text::escape;

use super::alias::Alias;
use super::info::Kind;
use super::tree::{Tree, ids};
use crate::home::Home;
use crate::report::Hint as _;

const SHA256: &str = "sha256-";

/// What a person called an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selector {
    /// A whole id, sha256 or sha512.
    Id(Digest),
    /// `sha256-` and the first digits of an id.
    Prefix(String),
    /// The image's name.
    Name(String),
}

impl Selector {
    /// An id or the beginning of one; `None` where it is neither.
    pub(crate) fn id(text: &str) -> Option<Self> {
        if let Ok(id) = text.parse() {
            return Some(Self::Id(id));
        }
        let digits = text.strip_prefix(SHA256)?;
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        ((1..64).contains(&digits.len()) && digits.bytes().all(is_hex)).then(|| Self::Prefix(text.to_owned()))
    }

    /// An id, the beginning of one, or else a name.
    pub(crate) fn any(text: &str) -> Self {
        Self::id(text).unwrap_or_else(|| Self::Name(text.to_owned()))
    }

    /// As it was given.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Prefix(text) | Self::Name(text) => escape(text),
        }
    }
}

/// The one image that is meant.
///
/// # Errors
/// Where the store has none or several.
pub(crate) fn resolve(home: &Home, selector: &Selector) -> Result<Tree> {
    let found = match selector {
        Selector::Id(id) => by_id(home, *id)?.into_iter().collect(),
        Selector::Prefix(prefix) => {
            let ids = ids(home)?.into_iter().filter(|id| id.to_string().starts_with(prefix));
            images(home, ids)?
        }
        Selector::Name(name) => images(home, ids(home)?.into_iter())?
            .into_iter()
            .filter(|tree| tree.info().name.as_ref().is_some_and(|of_image| of_image.as_str() == name))
            .collect(),
    };
    one(found, selector)
}

fn one(mut found: Vec<Tree>, selector: &Selector) -> Result<Tree> {
    let shown = selector.shown();
    match (found.pop(), found.as_slice()) {
        (Some(tree), []) => Ok(tree),
        (Some(last), others) => {
            let mut ids: Vec<_> = others.iter().chain([&last]).map(|tree| tree.id().to_string()).collect();
            ids.sort();
            bail!("{shown} could be {}: expected one image's id", ids.join(" or "))
        }
        (None, _) => {
            let missing = match selector {
                Selector::Name(_) => "no such file, and no image of this name in the store",
                _ => "no such image in the store",
            };
            Err(anyhow!("{missing}: {shown}")).hint("installer image list shows what there is")
        }
    }
}

fn by_id(home: &Home, id: Digest) -> Result<Option<Tree>> {
    let tree = if id.is_sha512() { Alias::Tar(id).find(home)? } else { Some(id) };
    tree.map_or(Ok(None), |tree| Tree::open(home, tree, Kind::Image))
}

/// Those that are images. One that vanishes meanwhile, or is damaged, can't be meant by its name.
fn images(home: &Home, ids: impl Iterator<Item = Digest>) -> Result<Vec<Tree>> {
    let mut all = Vec::new();
    for id in ids {
        match Tree::open_any(home, id) {
            Ok(Some(tree)) if tree.info().kind == Kind::Image => all.push(tree),
            Ok(_) => {}
            Err(error) => eprintln!("warning: {}", pod::text::one_line(&format!("{error:#}"))),
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
