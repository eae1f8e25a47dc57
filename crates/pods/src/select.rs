// SPDX-License-Identifier: Apache-2.0
//! Finds the pod that a person means: by its UUID, its name, the beginning of its UUID, or its directory.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use pod::PodName;
use pod::id::PodId;
use pod::layout;
use pod::text::escape;
use report::{Hint as _, hinted};
use store::DataDir;

use crate::directory::{ids, names};

/// How many pods a message names.
const NAMED: usize = 3;

/// A pod as a person named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Its whole id.
    Id(PodId),
    /// Its name, or the beginning of its id. A name counts first.
    Called(String),
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
        if text.parse::<PodName>().is_ok() {
            return Self::Called(text.to_owned());
        }
        Self::Other(text.to_owned())
    }

    /// Returns the text for a message.
    fn shown(&self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Called(text) if is_beginning(text) => text.to_ascii_lowercase(),
            Self::Called(text) => escape(text),
            Self::Directory(path) => escape(&path.to_string_lossy()),
            Self::Other(text) => escape(text),
        }
    }

    /// Returns what the pod is called that may have been meant.
    fn near(&self, all: &[PodId], names: &[(PodName, PodId)]) -> Option<String> {
        let id = |text: &str| suggestion(text, all).map(|id| id.to_string());
        match self {
            Self::Id(text) => id(&text.to_string()),
            Self::Called(text) | Self::Other(text) => {
                nearest(text, names).or_else(|| id(&text.to_ascii_lowercase()))
            }
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
    let whole = |id: &PodId| all.contains(id).then_some(*id);
    let (found, names) = match selector {
        Selector::Id(id) => (whole(id), Vec::new()),
        Selector::Called(text) => {
            let names = names(data_dir)?;
            (called(text, &all, &names)?, names)
        }
        Selector::Directory(_) => {
            let (_, id) = selector.data_directory()?.context("it is a directory")?;
            (whole(&id), Vec::new())
        }
        Selector::Other(_) => (None, names(data_dir)?),
    };
    found.ok_or_else(|| missing(selector, &all, &names))
}

/// Tells whether an id can begin like this.
fn is_beginning(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Returns the pod of this name, or else the one whose id begins like this.
fn called(text: &str, all: &[PodId], names: &[(PodName, PodId)]) -> Result<Option<PodId>> {
    let of_name: Vec<_> = names.iter().filter(|(name, _)| name.as_str() == text).map(|(_, id)| *id).collect();
    ensure!(of_name.len() < 2, "{text} is the name of {}: expected one pod's id", named(&of_name));
    if let Some(id) = of_name.first() {
        return Ok(Some(*id));
    }
    let lower = text.to_ascii_lowercase();
    let found: Vec<_> = all.iter().filter(|id| id.to_string().starts_with(&lower)).copied().collect();
    ensure!(found.len() < 2, "{text} could be {}: expected one pod's id", named(&found));
    Ok(found.first().copied())
}

/// Returns the error for a selector that no pod matches; `all` are the pods that there are, and `names` their names.
pub fn missing(selector: &Selector, all: &[PodId], names: &[(PodName, PodId)]) -> anyhow::Error {
    let error = anyhow!("no pod {}", selector.shown());
    match selector.near(all, names) {
        Some(near) => hinted(error, format!("did you mean {near}?")),
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

/// Returns the only name that differs from `text` in one or two places, the fewest of all.
fn nearest(text: &str, names: &[(PodName, PodId)]) -> Option<String> {
    let most = if text.chars().count() < 5 { 1 } else { 2 };
    let mut close: Vec<_> = names
        .iter()
        .map(|(name, _)| (distance(text, name.as_str()), name))
        .filter(|(distance, _)| *distance <= most)
        .collect();
    close.sort_unstable();
    match close.as_slice() {
        [(first, name), rest @ ..] if rest.first().is_none_or(|(second, _)| second > first) => {
            Some(name.to_string())
        }
        _ => None,
    }
}

/// Returns how many characters have to be added, removed, replaced or swapped with the next one to make one text of the other
/// (Levenshtein's distance, with transpositions).
fn distance(one: &str, other: &str) -> usize {
    let [one, other] = [one, other].map(|text| text.chars().collect::<Vec<_>>());
    let mut rows: [Vec<usize>; 2] = [Vec::new(), (0..=other.len()).collect()];
    for (index, a) in one.iter().enumerate() {
        let [before, last] = &rows;
        let mut row = vec![index + 1];
        for (column, b) in other.iter().enumerate() {
            let mut least =
                (last[column] + usize::from(a != b)).min(last[column + 1] + 1).min(row[column] + 1);
            if index > 0 && column > 0 && *a == other[column - 1] && one[index - 1] == *b {
                least = least.min(before[column - 1] + 1);
            }
            row.push(least);
        }
        let [_, last] = rows;
        rows = [last, row];
    }
    rows[1][other.len()]
}

/// Returns the only pod whose id begins like `text`, except for one character that differs, is missing or is extra.
fn suggestion(text: &str, all: &[PodId]) -> Option<PodId> {
    if text.len() < 4 {
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
        for called in ["6", "6733C088-A5", &ID[..35], "web", "6733c088_", &format!("{ID}0")] {
            assert_eq!(Selector::parse(called), Selector::Called(called.into()));
        }
        for path in [".", "..", "./6733", "/a", "6733/"] {
            assert_eq!(Selector::parse(path), Selector::Directory(path.into()));
        }
        for other in ["", "-", "a b", "a\n"] {
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
        let names: Vec<(PodName, PodId)> =
            ["web", "worker-1", "worker-2"].iter().map(|name| (name.parse().unwrap(), all[0])).collect();
        for near in ["6743c088", "673c088", "67333c088", "x733c088", &format!("{}0", &ID[..35])] {
            assert_eq!(suggestion(near, &all), first, "{near}");
        }
        let near = |text: &str| Selector::parse(text).near(&all, &names);
        assert_eq!(near("6733X088"), Some(all[0].to_string()), "also if it can't be the beginning of an id");
        assert_eq!(near("wep"), Some("web".into()));
        assert_eq!(near("wbe"), Some("web".into()), "two characters are swapped");
        assert_eq!((distance("", "ab"), distance("abcd", "acbd"), distance("abc", "cab")), (2, 1, 2));
        assert_eq!(near("wroker-1"), Some("worker-1".into()));
        assert_eq!(near("worker-3"), None, "it is as near to another");
        assert_eq!(near("wx"), None);
        for far in ["67", "6755", "web", "9999", "é3c088", ""] {
            assert_eq!(suggestion(far, &all), None, "{far}");
        }
    }

    #[test]
    fn a_name_counts_before_the_beginning_of_an_id() {
        let all = [PodId::from_random([0xca; 16]), PodId::from_random([0xcb; 16])];
        let names = [("cac".parse().unwrap(), all[1])];
        let found = |text: &str| called(text, &all, &names).unwrap();
        assert_eq!((found("cac"), found("CAC"), found("caca")), (Some(all[1]), Some(all[0]), Some(all[0])));
        assert_eq!(found("web"), None);
        assert!(called("c", &all, &names).is_err());
    }

    #[test]
    fn several_pods_are_named_up_to_a_few() {
        let id = |number: u8| PodId::from_random([number; 16]);
        assert_eq!(named(&[id(1), id(2)]), format!("{} or {}", id(1), id(2)));
        assert!(named(&[id(1), id(2), id(3), id(4), id(5)]).ends_with(" or 2 others"));
    }
}
