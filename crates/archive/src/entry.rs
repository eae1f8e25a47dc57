// SPDX-License-Identifier: Apache-2.0
//! Entries: an archive's description of one object of a tree, as types that can't hold what no tree may have.

use std::fmt;

use pod::path::RelativePath;
use pod::text::escape_bytes;

use crate::error::{Result, ensure, refuse};

/// The longest link target that the kernel takes (symlink(2): `PATH_MAX` with its NUL).
const TARGET_MAX: usize = 4095;

/// One object of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path in the tree; empty for the tree's root.
    pub path: RelativePath,
    /// What it is.
    pub kind: EntryKind,
    /// Its owner, permissions, time and attributes. A hard link has its target's.
    pub metadata: Metadata,
}

/// What an object is.
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
    /// Another name of an object that came earlier in the archive.
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

impl Xattr {
    /// Accepts what xattr(7) calls user attributes, file capabilities and POSIX ACLs.
    ///
    /// # Errors
    /// Fails for any other attribute: `trusted.*` and `user.overlay.*` steer overlayfs (overlayfs.rst, "Redirects",
    /// "userxattr"), only the host may set `security.ima` and `security.evm`, and no attribute is dropped silently.
    pub fn new(name: &[u8], value: &[u8]) -> Result<Self> {
        let shown = escape_bytes(name);
        let Ok(name) = std::str::from_utf8(name) else {
            refuse!("extended attribute {shown}: expected UTF-8")
        };
        let kept = match name {
            "security.capability" | "system.posix_acl_access" | "system.posix_acl_default" => true,
            _ => {
                name.len() > "user.".len() && name.starts_with("user.") && !name.starts_with("user.overlay.")
            }
        };
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
        for of_the_kernel in ["security.capability", "system.posix_acl_access", "system.posix_acl_default"] {
            assert!(Xattr::new(of_the_kernel.as_bytes(), b"").is_err(), "{of_the_kernel}");
        }
    }
}
