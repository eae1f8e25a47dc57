// SPDX-License-Identifier: Apache-2.0
//! Paths named in manifests and archives, as types that can't lead out of their root.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::text::{escape, escape_bytes};

/// The longest file name the kernel takes (limits.h, NAME_MAX).
const NAME_MAX: usize = 255;
/// The longest path the kernel takes, without its NUL (limits.h, PATH_MAX).
const PATH_MAX: usize = 4095;

/// An absolute path: starts with `/`, has no `..` and no NUL, and is within the kernel's limits; `.` and doubled
/// slashes are removed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AbsolutePath(String);

/// A path below some root: has no leading `/`, no `..` and no NUL, and is within the kernel's limits. It consists of
/// bytes, as in archives. The empty path is the root itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelativePath(Vec<u8>);

impl AbsolutePath {
    /// Returns the path as text, `/` and components.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Lists the paths that lead to this one, starting at the first component; the last is the path itself.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        let ends = self.0.match_indices('/').map(|(at, _)| at).skip(1).chain([self.0.len()]);
        ends.map(|end| &self.0[..end])
    }

    /// Returns the same path below some root.
    pub fn below_root(&self) -> RelativePath {
        RelativePath(self.0.as_bytes()[1..].to_vec())
    }

    /// Tells whether `other` is this path or lies below it.
    pub fn contains(&self, other: &Self) -> bool {
        let below = other.0.strip_prefix(self.0.trim_end_matches('/'));
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl RelativePath {
    /// Reads a name as an archive has it: `./` and `//` are dropped, a leading `/` is taken relative to the root.
    ///
    /// # Errors
    /// Fails on `..`, NUL, a component over 255 bytes or a path over 4095.
    pub fn from_bytes(name: &[u8]) -> Result<Self> {
        let invalid = |expected| Error::new(format!("invalid path {}: {expected}", escape_bytes(name)));
        let components = components(name).map_err(invalid)?;
        Ok(Self(components.join(&b'/')))
    }

    /// Returns the path's bytes, without a leading slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the path for system calls relative to a directory descriptor; empty for the root itself.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Returns the components, outermost first.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|component| !component.is_empty())
    }

    /// Returns the directory above and the last component; `None` for the root.
    pub fn split_last(&self) -> Option<(Self, &OsStr)> {
        let last = self.components().next_back()?;
        let parent = &self.0[..self.0.len() - last.len()];
        Some((Self(parent.strip_suffix(b"/").unwrap_or(parent).to_vec()), OsStr::from_bytes(last)))
    }
}

/// Returns the components of a path that stays below its start, or what was expected instead.
fn components(path: &[u8]) -> Result<Vec<&[u8]>, &'static str> {
    if path.contains(&0) {
        return Err("expected no NUL");
    }
    if path.len() > PATH_MAX {
        return Err("expected at most 4095 bytes");
    }
    let components: Vec<_> =
        path.split(|byte| *byte == b'/').filter(|component| !matches!(*component, b"" | b".")).collect();
    if components.contains(&b"..".as_slice()) {
        return Err("expected no \"..\"");
    }
    if components.iter().any(|component| component.len() > NAME_MAX) {
        return Err("expected components of at most 255 bytes");
    }
    Ok(components)
}

impl FromStr for AbsolutePath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = |expected| Error::new(format!("invalid path {}: {expected}", escape(text)));
        if !text.starts_with('/') {
            return Err(invalid("expected an absolute path"));
        }
        components(text.as_bytes()).map_err(invalid)?;
        let parts: Vec<_> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        Ok(Self(format!("/{}", parts.join("/"))))
    }
}

impl TryFrom<String> for AbsolutePath {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<AbsolutePath> for String {
    fn from(path: AbsolutePath) -> Self {
        path.0
    }
}

impl fmt::Display for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0))
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape_bytes(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths() {
        let parse = |text: &str| text.parse::<AbsolutePath>().map(|path| path.as_str().to_owned());
        assert_eq!(parse("/"), Ok("/".into()));
        assert_eq!(parse("//a/./b/"), Ok("/a/b".into()));
        let prefixes = |text: &str| -> Vec<String> {
            text.parse::<AbsolutePath>().unwrap().prefixes().map(Into::into).collect()
        };
        assert_eq!(prefixes("/"), ["/"]);
        assert_eq!(prefixes("/a/bc/d"), ["/a", "/a/bc", "/a/bc/d"]);
        let long = format!("/{}", "a".repeat(256));
        for bad in ["", "a", "~", "-/a", "/a/../b", "/a\0", long.as_str()] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn containment_is_by_component() {
        let path = |text: &str| text.parse::<AbsolutePath>().unwrap();
        assert!(path("/a").contains(&path("/a/b")));
        assert!(path("/a").contains(&path("/a")));
        assert!(path("/").contains(&path("/a")));
        assert!(!path("/a").contains(&path("/ab")));
        assert!(!path("/a/b").contains(&path("/a")));
    }

    #[test]
    fn relative_paths() {
        let parse = |name: &[u8]| RelativePath::from_bytes(name).map(|path| path.as_bytes().to_vec());
        assert_eq!(parse(b"./a//b/"), Ok(b"a/b".to_vec()));
        assert_eq!(parse(b"/etc/x"), Ok(b"etc/x".to_vec()));
        assert_eq!(parse(b"./"), Ok(Vec::new()));
        assert_eq!(parse(b"\xff"), Ok(b"\xff".to_vec()));
        for bad in [b"..".as_slice(), b"a/../../x", b"a\0b", &[b'a'; 256], &b"a/".repeat(2048)] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_last_component() {
        let path = RelativePath::from_bytes(b"a/b/c").unwrap();
        let (parent, name) = path.split_last().unwrap();
        assert_eq!((parent.as_bytes(), name), (b"a/b".as_slice(), OsStr::new("c")));
        assert!(RelativePath::default().split_last().is_none());
    }
}
