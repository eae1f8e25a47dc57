// SPDX-License-Identifier: Apache-2.0
//! What a tree consisted of when it was extracted, so that any later change can be found.
//!
//! A record is text, a line for each object, written as the object is made; directories come last, as their metadata
//! is set last. Fields stand one blank apart:
//!
//! ```text
//! gantry-record 2
//! file PATH MODE UID GID MTIME SIZE BLAKE3 [NAME=VALUE]…
//! link PATH - UID GID MTIME TARGET
//! fifo PATH MODE UID GID MTIME
//! char PATH MODE UID GID MTIME MAJOR:MINOR           (block likewise)
//! hard PATH TARGET                                   (one more name of what was made as TARGET)
//! dir PATH MODE UID GID MTIME [NAME=VALUE]…          (the tree's root is `.`)
//! end OBJECTS BLAKE3
//! ```
//!
//! MODE is four octal digits; MTIME is seconds, rounded down, a point and nine digits; BLAKE3 is a digest of
//! the file's content, and in the last line of all bytes of the record before that line; NAME=VALUE is an extended attribute.
//! Paths, targets, names and values are any bytes: those that are not printable ASCII, and `\` and `=`, are written as
//! `\` and two hex digits.
//!
//! Invariants: the lines say what the file system has kept, not what the archive asked for; a record without its last
//! line, or with one that does not fit, is refused.

mod compare;
mod difference;
mod disk;
mod escape;
mod inspect;
mod line;
mod reader;
mod same;
mod writer;

use pod::path::RelativePath;

use archive::{DeviceKind, Metadata};

pub use compare::differences;
pub use difference::{Difference, What};
pub use disk::{found, kept, kept_at, of_stat, typed_xattrs};
pub use reader::Reader;
pub use same::is_same_file;
pub use writer::{Sealed, Writer};

/// The first line, which is the format's name and version.
const FIRST: &[u8] = b"gantry-record 2\n";

/// One object of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Where it is; empty for the tree's root.
    pub path: RelativePath,
    /// What it is.
    pub kind: Kind,
    /// Its metadata, of which a link has no mode. A hard link's is its target's and not here.
    pub metadata: Metadata,
}

/// What an object is, with its content's digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// Its length in bytes.
        size: u64,
        /// The BLAKE3 of its content. Only records name it, and next to SHA-256 it costs a cold prepare nothing.
        content: blake3::Hash,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// What it points to.
        target: Vec<u8>,
    },
    /// Another name of an object that has a line before.
    HardLink {
        /// The object's first name.
        target: RelativePath,
    },
    /// A FIFO.
    Fifo,
    /// A device node.
    Device {
        /// Of which table.
        kind: DeviceKind,
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
}

#[cfg(test)]
mod tests;
