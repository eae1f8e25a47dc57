// SPDX-License-Identifier: Apache-2.0
//! Whom an app runs as, and what the kernel lets it pass through and execute.
//!
//! As the launcher runs: user, groups and bounding set are the app's; root has what its bounding set has, any other
//! user nothing. The rules are those of path_resolution(7), "Permissions", and acl(5), "Access check algorithm".

use std::collections::BTreeSet;

use anyhow::Result;
use pod::App;
use pod::isolators::CapabilitySet;
use pod::user::{resolve_group, resolve_user};

use super::acl::Acl;
use sys::in_root::InRoot;

/// An app's user, its groups, and what it may do in spite of both.
#[derive(Debug)]
pub(super) struct Who {
    uid: u32,
    gid: u32,
    groups: BTreeSet<u32>,
    /// `CAP_DAC_OVERRIDE`: directories are open, and files that anybody may execute.
    overrides: bool,
    /// `CAP_DAC_READ_SEARCH`: directories are open.
    searches: bool,
}

/// What decides on an object's use.
#[derive(Debug)]
pub(super) struct Permissions {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) acl: Option<Acl>,
}

impl Who {
    /// Looks the app's user and group up in its image.
    pub(super) fn of(app: &App, root: &InRoot) -> Result<Self> {
        let (uid, gid) = (resolve_user(&app.user, root)?, resolve_group(&app.group, root)?);
        let capabilities = match uid {
            0 => app.isolators.capabilities.unwrap_or(CapabilitySet::DEFAULT),
            _ => CapabilitySet::default(),
        };
        let may = |name: &str| Ok::<_, pod::Error>(capabilities.contains(name.parse()?));
        let mut groups: BTreeSet<u32> = app.supplementary_gids.iter().copied().collect();
        groups.insert(gid);
        let (overrides, searches) = (may("CAP_DAC_OVERRIDE")?, may("CAP_DAC_READ_SEARCH")?);
        Ok(Self { uid, gid, groups, overrides, searches })
    }

    /// The user's number.
    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    /// Whether it may pass through this directory.
    pub(super) fn may_search(&self, directory: &Permissions) -> bool {
        self.overrides || self.searches || self.is_granted(directory)
    }

    /// Whether it may execute this file.
    pub(super) fn may_execute(&self, file: &Permissions) -> bool {
        self.overrides && file.mode & 0o111 != 0 || self.is_granted(file)
    }

    /// Whether mode and list have x for it.
    fn is_granted(&self, object: &Permissions) -> bool {
        let Permissions { mode, uid, gid, acl } = object;
        let is_owner = self.uid == *uid;
        // A list counts for those who are not the owner, and only where the group has anything at all: there the mode
        // has the list's mask.
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

    /// It, for a message.
    pub(super) fn shown(&self) -> String {
        format!("user {} (group {})", self.uid, self.gid)
    }
}

impl Permissions {
    /// Of what the executor makes.
    pub(super) fn roots(mode: u32) -> Self {
        Self { mode, uid: 0, gid: 0, acl: None }
    }

    /// They, for a message.
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
        // Root is a user like others but for its capabilities; to execute, somebody must be able to.
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
