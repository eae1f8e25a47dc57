// SPDX-License-Identifier: Apache-2.0
//! What users call images of the store: an id, the beginning of one, or a name.

use pod::id::ImageId;
use pod::text::escape;

use crate::info::Info;
use report::Advice;

const SHA256: &str = "sha256-";

/// An image as a user named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// A whole id, sha256 or sha512.
    Id(ImageId),
    /// `sha256-` and the first digits of an id.
    Prefix(String),
    /// The image's name, maybe with labels: `NAME:VERSION`, `NAME,LABEL=VALUE…`.
    Name(String),
}

/// A name and the labels that tell an image from others of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labelled<'a> {
    /// The name.
    pub name: &'a str,
    /// The labels, at least one.
    pub labels: Vec<(&'a str, &'a str)>,
}

impl<'a> Labelled<'a> {
    /// Parses `NAME:VERSION`, `NAME,LABEL=VALUE…` or both; `None` if it is neither.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(',');
        let first = parts.next()?;
        let (name, version) = match first.rsplit_once(':') {
            Some((name, version)) if !version.is_empty() && !version.contains('/') => (name, Some(version)),
            _ => (first, None),
        };
        let mut labels: Vec<_> = version.map(|version| ("version", version)).into_iter().collect();
        for part in parts {
            labels.push(part.split_once('=')?);
        }
        (!name.is_empty() && !labels.is_empty()).then_some(Self { name, labels })
    }

    /// Tells whether this means the image of this info.
    pub fn is(&self, info: &Info) -> bool {
        let has = |(label, value): &(&str, &str)| info.labels.get(*label).is_some_and(|found| found == value);
        info.name.as_ref().is_some_and(|name| name.as_str() == self.name) && self.labels.iter().all(has)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_have_labels() {
        let parse = |text| Labelled::parse(text).map(|found| (found.name, found.labels));
        assert_eq!(parse("a.b/c:2"), Some(("a.b/c", vec![("version", "2")])));
        assert_eq!(parse("a,version=2,os=linux"), Some(("a", vec![("version", "2"), ("os", "linux")])));
        assert_eq!(parse("a:1,x="), Some(("a", vec![("version", "1"), ("x", "")])));
        for none in ["a", "", ":2", "a:", "a,", "a,b", "localhost:5000/a", ",version=1"] {
            assert_eq!(parse(none), None, "{none}");
        }
    }

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
