// SPDX-License-Identifier: Apache-2.0
//! POSIX access control lists, which images may contain (acl(5); linux/posix_acl_xattr.h defines their format).

use std::collections::BTreeSet;

/// The attribute that contains an object's ACL.
pub(super) const ATTRIBUTE: &str = "system.posix_acl_access";
const VERSION: u32 = 2;
const EXECUTE: u16 = 1;

/// An object's access control list, in the kernel's order: users, the group, groups, the mask, others.
#[derive(Debug)]
pub(super) struct Acl(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    tag: Tag,
    executes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Owner,
    User(u32),
    OwnersGroup,
    Group(u32),
    Mask,
    Other,
}

impl Acl {
    /// Parses the attribute's value, which the kernel checked when it was set.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let (version, entries) = value.split_first_chunk()?;
        let (entries, rest) = entries.as_chunks::<8>();
        (u32::from_le_bytes(*version) == VERSION && rest.is_empty()).then_some(())?;
        entries.iter().map(Entry::parse).collect::<Option<_>>().map(Self)
    }

    /// Tells whether it grants x to a user that is not the object's owner.
    pub(super) fn grants_execution(&self, uid: u32, owners_group: u32, groups: &BTreeSet<u32>) -> bool {
        let entry = |tag| self.0.iter().find(|entry| entry.tag == tag);
        let mask = entry(Tag::Mask).is_none_or(|mask| mask.executes);
        if let Some(user) = entry(Tag::User(uid)) {
            return user.executes && mask;
        }
        let is_member = |entry: &&Entry| match entry.tag {
            Tag::OwnersGroup => groups.contains(&owners_group),
            Tag::Group(gid) => groups.contains(&gid),
            _ => false,
        };
        let mut memberships = self.0.iter().filter(is_member).peekable();
        match memberships.peek() {
            Some(_) => memberships.any(|entry| entry.executes) && mask,
            None => entry(Tag::Other).is_some_and(|other| other.executes),
        }
    }
}

impl Entry {
    /// Parses an entry: tag, permissions and id, little-endian.
    fn parse(&[t0, t1, p0, p1, i0, i1, i2, i3]: &[u8; 8]) -> Option<Self> {
        let id = u32::from_le_bytes([i0, i1, i2, i3]);
        let tag = match u16::from_le_bytes([t0, t1]) {
            0x01 => Tag::Owner,
            0x02 => Tag::User(id),
            0x04 => Tag::OwnersGroup,
            0x08 => Tag::Group(id),
            0x10 => Tag::Mask,
            0x20 => Tag::Other,
            _ => return None,
        };
        Some(Self { tag, executes: u16::from_le_bytes([p0, p1]) & EXECUTE != 0 })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Encodes a list from tags, permissions and ids.
    pub(in super::super) fn value(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let entries = entries.iter().flat_map(|(tag, permissions, id)| {
            [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
        });
        VERSION.to_le_bytes().into_iter().chain(entries).collect()
    }

    #[test]
    fn the_first_that_matches_counts() {
        let acl = |entries: &[(u16, u16, u32)]| Acl::parse(&value(entries)).unwrap();
        let list = acl(&[
            (1, 7, u32::MAX),
            (2, 5, 7),
            (2, 4, 8),
            (4, 4, u32::MAX),
            (8, 1, 70),
            (8, 4, 80),
            (0x10, 5, u32::MAX),
            (0x20, 1, u32::MAX),
        ]);
        let granted = |list: &Acl, uid, groups: &[u32]| {
            list.grants_execution(uid, 60, &groups.iter().copied().collect())
        };
        for (uid, groups, expected) in [
            (7, &[1][..], true),
            (8, &[70], false),
            (9, &[70], true),
            (9, &[80], false),
            (9, &[60], false),
            (9, &[60, 70], true),
            (9, &[1], true),
        ] {
            assert_eq!(granted(&list, uid, groups), expected, "{uid} {groups:?}");
        }
        let masked = acl(&[(1, 7, 0), (2, 7, 7), (4, 7, 0), (8, 7, 70), (0x10, 6, 0), (0x20, 1, 0)]);
        assert!(!granted(&masked, 7, &[1]) && !granted(&masked, 9, &[70]) && granted(&masked, 9, &[1]));
    }

    #[test]
    fn anything_else_is_no_list() {
        for bad in [&b""[..], &[1, 0, 0, 0], &[2, 0, 0, 0, 1], &value(&[(3, 0, 0)])] {
            assert!(Acl::parse(bad).is_none(), "{bad:?}");
        }
    }
}
