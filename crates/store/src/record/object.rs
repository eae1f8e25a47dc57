// SPDX-License-Identifier: Apache-2.0
//! Objects of a tree, as a record has them.

use pod::path::RelativePath;

use archive::{DeviceKind, Metadata};

/// The first line: the format's name and version.
pub(super) const FIRST: &[u8] = b"gantry-record 2\n";

/// One object of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The object's path; empty for the tree's root.
    pub path: RelativePath,
    /// The object's type and content.
    pub kind: ObjectKind,
    /// The object's metadata. A symbolic link has no mode. A hard link's is empty, as its target's line has it.
    pub metadata: Metadata,
}

/// The type of an object, with the digest of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A regular file.
    File {
        /// Its length in bytes.
        size: u64,
        /// The BLAKE3 of its content. This digest appears in records only, and computing it beside SHA-256 does not
        /// slow down a cold prepare.
        content: blake3::Hash,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// The text of the link.
        target: Vec<u8>,
    },
    /// Another name of an object that has an earlier line.
    HardLink {
        /// The object's first name.
        target: RelativePath,
    },
    /// A FIFO.
    Fifo,
    /// A device node.
    Device {
        /// Character or block.
        kind: DeviceKind,
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
}
