// SPDX-License-Identifier: Apache-2.0
//! The numbers of the user and groups that an app runs as. `prepare` and `/init` come to the same result.

use super::{App, Mount, Source};
use crate::error::{Error, Result};
use crate::manifest::Users;
use crate::user::{ImageRoot, Person, groups_of, person, resolve_group, resolve_user};

/// How many users and groups an app has that are its own, from 0 on.
const OWN_IDS: u32 = 1 << 16;

/// The user and groups of an app, by the files of its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounts {
    /// The user's number.
    pub uid: u32,
    /// The primary group's number.
    pub gid: u32,
    /// The numbers of further groups.
    pub supplementary: Vec<u32>,
    /// The user as the image's passwd file has it, for apps whose environment includes some of that.
    pub person: Option<Person>,
}

impl App {
    /// Looks up the user and groups that the app runs as.
    ///
    /// # Errors
    /// Fails if the image doesn't know the user or the group, or if one's number is not usable.
    pub fn accounts(&self, root: &impl ImageRoot) -> Result<Accounts> {
        let uid = resolve_user(&self.user, root)?;
        let person = (self.names_user || self.has_home).then(|| person(&self.user, uid, root));
        let mut supplementary = self.supplementary_gids.clone();
        let of_user = if self.has_users_groups { groups_of(&self.user, uid, root) } else { None };
        let gid = match of_user {
            Some((gid, further)) => {
                supplementary.extend(further);
                gid
            }
            None => resolve_group(&self.group, root)?,
        };
        let accounts = Accounts { uid, gid, supplementary, person };
        if self.users != Users::Host {
            accounts.check_own()?;
        }
        Ok(accounts)
    }
}

/// Checks that users of an app's own include the owners of its volumes in memory. On disk, another owner is nobody in
/// the app; in memory, it would be another app's user.
pub(super) fn check_volumes(app: &App) -> Result<()> {
    if app.users == Users::Host {
        return Ok(());
    }
    for Mount { source, target, .. } in &app.mounts {
        let Source::Empty { capacity: Some(_), ownership, .. } = source else { continue };
        check_own(&[("user", ownership.uid), ("group", ownership.gid)])
            .map_err(|error| error.within(format_args!("app {}: mount at {target}", app.name)))?;
    }
    Ok(())
}

/// Checks that users of an app's own include these.
fn check_own(ids: &[(&str, u32)]) -> Result<()> {
    match ids.iter().find(|(_, id)| *id >= OWN_IDS) {
        None => Ok(()),
        Some((kind, id)) => Err(Error::new(format!(
            "{kind} {id}: expected less than {OWN_IDS}, or a pod with the host's users (annotation gantry/users: host)"
        ))),
    }
}

impl Accounts {
    /// Checks that users of an app's own include these.
    fn check_own(&self) -> Result<()> {
        let further = self.supplementary.iter().map(|gid| ("group", *gid));
        check_own(&[("user", self.uid), ("group", self.gid)].into_iter().chain(further).collect::<Vec<_>>())
    }
}
