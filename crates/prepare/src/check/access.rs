// SPDX-License-Identifier: Apache-2.0
//! The user that an app runs as, and the access that the kernel grants it.
//!
//! The credentials are those of the launcher when it executes the app: user, groups and bounding set are the app's;
//! root has the capabilities of the bounding set, any other user has none. The rules are those of path_resolution(7),
//! "Permissions", and acl(5), "Access check algorithm".

use std::collections::BTreeSet;

use anyhow::Result;
use pod::isolators::CapabilitySet;
use pod::user::Person;
use pod::{Accounts, App};

use super::acl::Acl;
use sys::in_root::InRoot;

/// An app's user and groups, and the capabilities that override their permissions.
#[derive(Debug)]
pub(super) struct Who {
    uid: u32,
    gid: u32,
    groups: BTreeSet<u32>,
    /// `CAP_DAC_OVERRIDE`: it may search every directory, and execute each file that has any x bit.
    overrides: bool,
    /// `CAP_DAC_READ_SEARCH`: it may search every directory.
    searches: bool,
}

/// The attributes of an object that decide who may use it.
#[derive(Debug)]
pub(super) struct Permissions {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) acl: Option<Acl>,
}

impl Who {
    /// Looks up the app's user and groups in its image. The user is returned, too, if the environment includes it.
    pub(super) fn of(app: &App, root: &InRoot) -> Result<(Self, Option<Person>)> {
        let Accounts { uid, gid, supplementary, person } = app.accounts(root)?;
        let capabilities = match uid {
            0 => app.isolators.capabilities.unwrap_or(CapabilitySet::DEFAULT),
            _ => CapabilitySet::default(),
        };
        let may = |name: &str| Ok::<_, pod::Error>(capabilities.contains(name.parse()?));
        let mut groups: BTreeSet<u32> = supplementary.into_iter().collect();
        groups.insert(gid);
        let (overrides, searches) = (may("CAP_DAC_OVERRIDE")?, may("CAP_DAC_READ_SEARCH")?);
        Ok((Self { uid, gid, groups, overrides, searches }, person))
    }

    /// Tells whether the user may search this directory, which is needed to pass through it.
    pub(super) fn may_search(&self, directory: &Permissions) -> bool {
        self.overrides || self.searches || self.is_granted(directory)
    }

    /// Tells whether the user may execute this file.
    pub(super) fn may_execute(&self, file: &Permissions) -> bool {
        self.overrides && file.mode & 0o111 != 0 || self.is_granted(file)
    }

    /// Tells whether the mode and the ACL grant x to the user.
    fn is_granted(&self, object: &Permissions) -> bool {
        let Permissions { mode, uid, gid, acl } = object;
        let is_owner = self.uid == *uid;
        // The ACL applies only to users other than the owner, and only if the mode grants the group anything: with an
        // ACL, the mode's group bits are the ACL's mask.
        if let Some(acl) = acl.as_ref().filter(|_| !is_owner && mode & 0o070 != 0) {
            return acl.grants_execution(self.uid, *gid, &self.groups);
        }
        let shift = match (is_owner, self.groups.contains(gid)) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        mode >> shift & 1 != 0
    }

    /// Describes the user for a message.
    pub(super) fn shown(&self) -> String {
        format!("user {} (group {})", self.uid, self.gid)
    }
}

impl Permissions {
    /// Returns the permissions of an object that `/init` makes in the app's root: root owns it, and it has no ACL.
    pub(super) fn roots(mode: u32) -> Self {
        Self { mode, uid: 0, gid: 0, acl: None }
    }

    /// Describes the permissions for a message.
    pub(super) fn shown(&self) -> String {
        let acl = if self.acl.is_some() { ", an access control list," } else { "" };
        format!("mode {:04o}{acl} and owner {}:{}", self.mode & 0o7777, self.uid, self.gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(uid: u32, groups: &[u32], overrides: bool, searches: bool) -> Who {
        Who { uid, gid: groups[0], groups: groups.iter().copied().collect(), overrides, searches }
    }

    #[test]
    fn one_class_of_the_mode_counts() {
        let granted = |who: &Who, mode, uid, gid| {
            let object = Permissions { mode, uid, gid, acl: None };
            (who.may_search(&object), who.may_execute(&object))
        };
        let user = who(7, &[8, 9], false, false);
        for (mode, uid, gid, granted_x) in [
            (0o100, 7, 8, true),
            (0o011, 7, 8, false),
            (0o010, 1, 8, true),
            (0o010, 1, 9, true),
            (0o101, 1, 9, false),
            (0o001, 1, 1, true),
            (0o110, 1, 1, false),
            (0o666, 7, 8, false),
        ] {
            assert_eq!(granted(&user, mode, uid, gid), (granted_x, granted_x), "{mode:o} {uid}:{gid}");
        }
        // Root is a user like any other, apart from its capabilities; even so, a file must have an x bit to be
        // executed.
        let plain = who(0, &[0], false, false);
        assert_eq!(granted(&plain, 0o011, 0, 0), (false, false));
        assert_eq!(granted(&plain, 0o700, 1, 1), (false, false));
        let root = who(0, &[0], true, false);
        assert_eq!(granted(&root, 0o700, 1, 1), (true, true));
        assert_eq!(granted(&root, 0o010, 0, 1), (true, true));
        assert_eq!(granted(&root, 0o666, 1, 1), (true, false));
        let searcher = who(0, &[0], false, true);
        assert_eq!(granted(&searcher, 0o700, 1, 1), (true, false));
    }
}
