// SPDX-License-Identifier: Apache-2.0
//! Entries: an archive's description of one object of a tree, as types that can't hold what no tree may have.

use std::collections::BTreeSet;
use std::fmt;

use pod::path::RelativePath;
use pod::text::escape_bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Result, ensure, refuse};

/// The most names of skipped attributes that are kept, and the longest.
const SKIPPED_NAMES: usize = 4;
const SKIPPED_NAME_MAX: usize = 64;
/// The attributes of the kernel's that an image may have.
const OF_KERNEL: [&str; 3] = ["security.capability", "system.posix_acl_access", "system.posix_acl_default"];
/// Prefixes of the attributes that steer overlays (overlayfs.rst, "Redirects", "userxattr").
const OF_OVERLAYS: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];
/// The longest link target that the kernel takes (symlink(2): `PATH_MAX` with its NUL).
const TARGET_MAX: usize = 4095;

/// One object of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path in the tree; empty for the tree's root.
    pub path: RelativePath,
    /// The kind of object, with what only that kind has.
    pub kind: EntryKind,
    /// Its owner, permissions, time and attributes. A hard link has its target's.
    pub metadata: Metadata,
}

/// The kind of an object, with what only that kind has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file of `size` bytes.
    File {
        /// Its length.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link, its target byte for byte: 1 to 4095 bytes without NUL.
    Symlink {
        /// The target.
        target: Vec<u8>,
    },
    /// Another name of an object of the archive.
    HardLink {
        /// The object's name.
        target: RelativePath,
    },
    /// A FIFO.
    Fifo,
    /// A device node; never character device 0:0, which is an overlay's whiteout.
    Device {
        /// Its device table.
        kind: DeviceKind,
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
}

/// The device table of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// Character devices.
    Character,
    /// Block devices.
    Block,
}

/// An object's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The twelve bits that chmod(2) takes.
    pub mode: u32,
    /// Its owner; never 2^32−1, which chown(2) takes for "unchanged".
    pub uid: u32,
    /// Its group; never 2^32−1.
    pub gid: u32,
    /// When it was last modified.
    pub mtime: Timestamp,
    /// Its extended attributes, in the archive's order; only files and directories have any.
    pub xattrs: Vec<Xattr>,
}

/// An exact point in time: seconds since 1970, negative before that, and nanoseconds after that second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.seconds, self.nanoseconds)
    }
}

/// An extended attribute that an image may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xattr {
    name: String,
    value: Vec<u8>,
}

/// The attributes that an archive has, and a tree does not get: they are the host's to set, as labels of its security
/// modules are, or mean something on other systems alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// How many there are.
    pub count: u64,
    /// The first few of their names, escaped.
    pub names: BTreeSet<String>,
}

impl Skipped {
    /// Adds an attribute.
    pub(crate) fn add(&mut self, name: &[u8]) {
        self.count += 1;
        if self.names.len() < SKIPPED_NAMES {
            let shown = escape_bytes(&name[..name.len().min(SKIPPED_NAME_MAX)]);
            self.names.insert(shown.trim_matches('"').to_owned());
        }
    }

    /// Adds those of another archive, or of another part of this one.
    pub fn extend(&mut self, other: &Self) {
        self.count += other.count;
        let room = SKIPPED_NAMES.saturating_sub(self.names.len());
        let new: Vec<_> = other.names.difference(&self.names).take(room).cloned().collect();
        self.names.extend(new);
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, names } = self;
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let (what, names) = (if *count == 1 { "attribute is" } else { "attributes are" }, names.join(", "));
        write!(
            f,
            "{count} extended {what} not kept ({names}): expected user.*, security.capability or system.posix_acl_*"
        )
    }
}

impl Xattr {
    /// Accepts an attribute as an archive has it. `None`: it is skipped, see [`Skipped`].
    ///
    /// # Errors
    /// Fails for what would give the tree another meaning, as [`Xattr::new`].
    pub(crate) fn of_archive(name: &[u8], value: &[u8]) -> Result<Option<Self>> {
        let is_ours = name.starts_with(b"user.")
            || OF_KERNEL.iter().any(|of_kernel| of_kernel.as_bytes() == name)
            || OF_OVERLAYS.iter().any(|prefix| name.starts_with(prefix));
        if is_ours { Self::new(name, value).map(Some) } else { Ok(None) }
    }

    /// Accepts what xattr(7) calls user attributes, file capabilities and POSIX ACLs.
    ///
    /// # Errors
    /// Fails for any other attribute: `trusted.overlay.*` and `user.overlay.*` steer overlayfs (overlayfs.rst,
    /// "Redirects", "userxattr"), and others are the host's.
    pub fn new(name: &[u8], value: &[u8]) -> Result<Self> {
        let shown = escape_bytes(name);
        let Ok(name) = std::str::from_utf8(name) else {
            refuse!("extended attribute {shown}: expected UTF-8")
        };
        let kept = OF_KERNEL.contains(&name)
            || name.len() > "user.".len() && name.starts_with("user.") && !name.starts_with("user.overlay.");
        ensure!(
            kept && name.len() <= 255 && !name.contains('\0'),
            "extended attribute {shown}: expected user.* (but not user.overlay.*), security.capability or \
             system.posix_acl_*"
        );
        ensure!(
            !value.is_empty() || name.starts_with("user."),
            "extended attribute {shown}: expected a value, without which the kernel keeps none or none to be read"
        );
        Ok(Self { name: name.to_owned(), value: value.to_vec() })
    }

    /// Returns the name, with its namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the value.
    pub fn value(&self) -> &[u8] {
        &self.value
    }
}

/// Returns a symbolic link's target if the kernel takes it.
pub(super) fn link_target(target: Vec<u8>) -> Result<Vec<u8>> {
    ensure!(!target.is_empty(), "a link to nothing: expected a target");
    ensure!(!target.contains(&0), "link target {}: expected no NUL", escape_bytes(&target));
    ensure!(
        target.len() <= TARGET_MAX,
        "a link target of {} bytes: expected at most {TARGET_MAX}",
        target.len()
    );
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes() {
        for good in ["user.a", "user.overlayed", "security.capability", "system.posix_acl_default"] {
            assert!(Xattr::new(good.as_bytes(), b"\0\n=").is_ok(), "{good}");
        }
        for bad in [
            "",
            "user.",
            "user",
            "trusted.overlay.opaque",
            "user.overlay.whiteout",
            "security.ima",
            "security.evm",
            "security.selinux",
            "system.nfs4_acl",
            "user.a\0b",
            "com.apple.x",
        ] {
            assert!(Xattr::new(bad.as_bytes(), b"").is_err(), "{bad:?}");
        }
        assert!(Xattr::new(b"user.\xff", b"").is_err());
        assert!(Xattr::new(b"user.a", b"").is_ok());
        for of_the_kernel in OF_KERNEL {
            assert!(Xattr::new(of_the_kernel.as_bytes(), b"").is_err(), "{of_the_kernel}");
        }
    }

    #[test]
    fn foreign_attributes_are_counted_and_those_of_overlays_refused() {
        let mut skipped = Skipped::default();
        for name in
            ["security.selinux", "security.ima", "system.nfs4_acl", "trusted.a", "com.apple.x", "a\n", ""]
        {
            assert_eq!(Xattr::of_archive(name.as_bytes(), b"x").unwrap(), None, "{name}");
            skipped.add(name.as_bytes());
        }
        assert_eq!((skipped.count, skipped.names.len()), (7, SKIPPED_NAMES));
        let (mut twice, other) = (skipped.clone(), skipped.clone());
        twice.extend(&other);
        assert_eq!((twice.count, &twice.names), (14, &skipped.names));
        assert!(Xattr::of_archive(b"user.a", b"").unwrap().is_some());
        for bad in ["user.", "user.overlay.x", "trusted.overlay.opaque"] {
            assert!(Xattr::of_archive(bad.as_bytes(), b"x").is_err(), "{bad}");
        }
    }
}
