// SPDX-License-Identifier: Apache-2.0
//! A difference between a tree and its record, shown as one line for a person.

use std::fmt;

use pod::text::{escape_bytes, one_line};

/// One difference between a tree and its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    path: Vec<u8>,
    what: What,
    expected: String,
    found: String,
}

/// The property in which an object differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// The object doesn't exist.
    Missing,
    /// The object exists, but is not in the record. What is below it is not examined.
    Extra,
    /// The object is of another type. Nothing else of it is examined.
    Type,
    /// The permission bits.
    Mode,
    /// The owner or group.
    Owner,
    /// The time of the last modification.
    Mtime,
    /// The length.
    Size,
    /// The content, although its length is the same.
    Content,
    /// The target of a link.
    Target,
    /// The numbers of a device.
    Device,
    /// The extended attributes.
    Xattrs,
    /// The names that are hard links to the same object.
    Identity,
    /// The object can't be read, so its content is unknown.
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

    /// Returns the object's path relative to the tree; empty for the root.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Returns the property that differs.
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
