// SPDX-License-Identifier: Apache-2.0
//! What a tree and its record disagree in, as one line for a person.

use std::fmt;

use pod::text::{escape_bytes, one_line};

/// One thing in which a tree is not what its record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    path: Vec<u8>,
    what: What,
    expected: String,
    found: String,
}

/// In what an object differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// It is not there.
    Missing,
    /// It is there, and the record does not have it. What is below it is not looked at.
    Extra,
    /// It is of another type. Nothing else of it is looked at.
    Type,
    /// Its permission bits.
    Mode,
    /// Its owner or group.
    Owner,
    /// When it was last modified.
    Mtime,
    /// Its length.
    Size,
    /// Its content, of the same length.
    Content,
    /// What a link points to.
    Target,
    /// A device's numbers.
    Device,
    /// Its extended attributes.
    Xattrs,
    /// Which names are names of one object.
    Identity,
    /// It can't be read, so its content is not known.
    Unreadable,
}

impl Difference {
    pub(super) fn new(
        path: &[u8],
        what: What,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self { path: path.to_vec(), what, expected: expected.into(), found: found.into() }
    }

    /// Where it is, relative to the tree; empty for its root.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// What differs.
    pub fn what(&self) -> What {
        self.what
    }
}

impl What {
    fn as_str(self) -> &'static str {
        match self {
            Self::Missing | Self::Extra => "it",
            Self::Type => "type",
            Self::Mode => "mode",
            Self::Owner => "owner",
            Self::Mtime => "mtime",
            Self::Size => "size",
            Self::Content => "content",
            Self::Target => "link target",
            Self::Device => "device",
            Self::Xattrs => "extended attributes",
            Self::Identity => "object",
            Self::Unreadable => "reading",
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, what, expected, found } = self;
        let path = if path.is_empty() { b"." } else { path.as_slice() };
        let (path, what) = (escape_bytes(path), what.as_str());
        write!(f, "{path}: {what}: found {}, expected {}", one_line(found), one_line(expected))
    }
}
