// SPDX-License-Identifier: Apache-2.0
//! Finds the pod that a person means: by its UUID, by the beginning of one, or by its directory.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use pod::id::PodId;
use pod::layout;
use pod::text::escape;
use report::{Hint as _, hinted};
use store::DataDir;

use crate::directory::ids;

/// How many pods a message names.
const NAMED: usize = 3;

/// What a person called a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Its whole id.
    Id(PodId),
    /// The beginning of its id, in lowercase.
    Prefix(String),
    /// Its directory.
    Directory(PathBuf),
    /// Something that no pod is called.
    Other(String),
}

impl Selector {
    /// Parses what a person has written.
    ///
    /// A text with a slash is a path, and so are `.` and `..`.
    pub fn parse(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        if let Ok(id) = lower.parse() {
            return Self::Id(id);
        }
        if text.contains('/') || matches!(text, "." | "..") {
            return Self::Directory(text.into());
        }
        let is_prefix = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
        if (1..36).contains(&text.len()) && text.bytes().all(is_prefix) {
            return Self::Prefix(lower);
        }
        Self::Other(text.to_owned())
    }

    /// Returns the text for a message.
    fn shown(&self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Prefix(text) => text.clone(),
            Self::Directory(path) => escape(&path.to_string_lossy()),
            Self::Other(text) => escape(text),
        }
    }

    /// Returns the pod that may have been meant.
    fn near(&self, all: &[PodId]) -> Option<PodId> {
        match self {
            Self::Id(id) => suggestion(&id.to_string(), all),
            Self::Prefix(text) => suggestion(text, all),
            Self::Other(text) => suggestion(&text.to_ascii_lowercase(), all),
            Self::Directory(_) => None,
        }
    }

    /// Returns the data directory that a pod's directory is in; `None` if the selector is no directory.
    ///
    /// # Errors
    /// If there is no such directory, or if it isn't in a data directory.
    pub fn data_directory(&self) -> Result<Option<(PathBuf, PodId)>> {
        let Self::Directory(path) = self else { return Ok(None) };
        let about = || format!("no pod directory {}", self.shown());
        let path = path.canonicalize().with_context(about)?;
        let found = in_data_directory(&path).with_context(|| {
            format!("{} is no pod directory: expected DIR/{}/UUID", self.shown(), layout::CONTAINERS)
        });
        found.map(Some)
    }
}

fn in_data_directory(path: &Path) -> Option<(PathBuf, PodId)> {
    let id = path.file_name()?.to_str()?.parse().ok()?;
    let containers = path.parent()?;
    (containers.file_name()? == layout::CONTAINERS).then_some(())?;
    Some((containers.parent()?.to_owned(), id))
}

/// Returns the id of the one pod that is meant.
///
/// # Errors
/// If there is none, or if there are several.
pub fn resolve(data_dir: &DataDir, selector: &Selector) -> Result<PodId> {
    let all = ids(data_dir)?;
    match selector {
        Selector::Id(id) => all.contains(id).then_some(*id).ok_or_else(|| missing(selector, &all)),
        Selector::Prefix(prefix) => {
            let found: Vec<_> = all.iter().filter(|id| id.to_string().starts_with(prefix)).copied().collect();
            ensure!(found.len() < 2, "{prefix} could be {}: expected one pod's id", named(&found));
            found.first().copied().ok_or_else(|| missing(selector, &all))
        }
        Selector::Directory(_) => {
            let (_, id) = selector.data_directory()?.context("it is a directory")?;
            all.contains(&id).then_some(id).ok_or_else(|| missing(selector, &all))
        }
        Selector::Other(_) => Err(missing(selector, &all)),
    }
}

/// Returns the error for a selector that no pod matches; `all` are the pods that there are.
pub fn missing(selector: &Selector, all: &[PodId]) -> anyhow::Error {
    let error = anyhow!("no pod {}", selector.shown());
    match selector.near(all) {
        Some(id) => hinted(error, format!("did you mean {id}?")),
        None => Err::<(), _>(error)
            .hint(format!("{} list shows what there is", report::program()))
            .expect_err("it is an error"),
    }
}

/// Joins ids for a message, which names a few of them.
fn named(ids: &[PodId]) -> String {
    let mut shown: Vec<_> = ids.iter().take(NAMED).map(ToString::to_string).collect();
    if ids.len() > NAMED {
        shown.push(format!("{} others", ids.len() - NAMED));
    }
    shown.join(" or ")
}

/// Returns the only pod whose id begins like `text`, except for one character that differs, is missing or is extra.
fn suggestion(text: &str, all: &[PodId]) -> Option<PodId> {
    if text.len() < 3 {
        return None;
    }
    let mut close = all.iter().filter(|id| begins_alike(text, &id.to_string()));
    let first = close.next().copied();
    if close.next().is_none() { first } else { None }
}

fn begins_alike(text: &str, id: &str) -> bool {
    let common = text.bytes().zip(id.bytes()).take_while(|(one, other)| one == other).count();
    let (Some(rest), Some(of_id)) = (text.get(common..), id.get(common..)) else { return false };
    let tail = |text: &str| text.chars().skip(1).collect::<String>();
    of_id.starts_with(&tail(rest)) || tail(of_id).starts_with(&tail(rest)) || tail(of_id).starts_with(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "6733c088-a507-4694-aabf-ae0bc1ccaaff";

    #[test]
    fn ids_their_beginnings_and_paths_are_told_apart() {
        assert_eq!(Selector::parse(ID), Selector::Id(ID.parse().unwrap()));
        assert_eq!(Selector::parse(&ID.to_uppercase()), Selector::Id(ID.parse().unwrap()));
        for (prefix, lower) in [("6", "6"), ("6733C088-A5", "6733c088-a5"), (&ID[..35], &ID[..35])] {
            assert_eq!(Selector::parse(prefix), Selector::Prefix(lower.into()));
        }
        for path in [".", "..", "./6733", "/a", "6733/"] {
            assert_eq!(Selector::parse(path), Selector::Directory(path.into()));
        }
        for other in ["", "web", "6733c088_", &format!("{ID}0")] {
            assert_eq!(Selector::parse(other), Selector::Other(other.into()));
        }
    }

    #[test]
    fn a_pod_directory_is_below_containers() {
        let found = |path: &str| in_data_directory(Path::new(path));
        let id = ID.parse().unwrap();
        assert_eq!(found(&format!("/d/containers/{ID}")), Some(("/d".into(), id)));
        assert_eq!(found(&format!("/containers/{ID}")), Some(("/".into(), id)));
        for bad in ["/", "/d/containers/x", &format!("/d/{ID}"), &format!("/d/containers/{ID}/stage1")] {
            assert_eq!(found(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_was_nearly_right_is_suggested() {
        let all: Vec<PodId> =
            [ID, "9944c088-a507-4694-aabf-ae0bc1ccaaff"].iter().map(|id| id.parse().unwrap()).collect();
        let first = Some(all[0]);
        for near in ["6743c088", "673c088", "67333c088", "x733c088", &format!("{}0", &ID[..35])] {
            assert_eq!(suggestion(near, &all), first, "{near}");
        }
        assert_eq!(
            Selector::parse("6733X088").near(&all),
            first,
            "also if it can't be the beginning of an id"
        );
        for far in ["67", "6755", "web", "9999", "é3c088", ""] {
            assert_eq!(suggestion(far, &all), None, "{far}");
        }
    }

    #[test]
    fn several_pods_are_named_up_to_a_few() {
        let id = |number: u8| PodId::from_random([number; 16]);
        assert_eq!(named(&[id(1), id(2)]), format!("{} or {}", id(1), id(2)));
        assert!(named(&[id(1), id(2), id(3), id(4), id(5)]).ends_with(" or 2 others"));
    }
}
