// SPDX-License-Identifier: Apache-2.0
//! The record of a tree: all its objects at the time it was extracted, so that any later change can be found.
//!
//! A record is text with one line for each object, written as the object is made (or, of a tree that layers made, or
//! in which entries have replaced others, at the end). Directories come last, because their metadata is set last. Fields are separated by one blank:
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
//! MODE is four octal digits. MTIME is the seconds, rounded down, a point and nine digits. BLAKE3 is a digest: of the
//! file's content, or, in the last line, of all bytes of the record before that line. NAME=VALUE is an extended
//! attribute. Paths, targets, names and values may contain any bytes: bytes that are not printable ASCII, and `\` and
//! `=`, are written as `\` and two hex digits.
//!
//! Invariants: the lines say what the file system has kept, not what the archive asked for. A record is refused if its
//! last line is missing or doesn't match the lines before.

mod compare;
mod difference;
mod disk;
mod escape;
mod inspect;
mod line;
mod object;
mod reader;
mod same;
mod writer;

pub use compare::differences;
pub use difference::{Difference, What};
pub use disk::{found, kept, kept_at, of_stat, typed_xattrs};
pub use object::{Object, ObjectKind};
pub use reader::Reader;
pub use same::is_same_file;
pub use writer::{Output, Sealed, Writer};

#[cfg(test)]
mod tests;
