// SPDX-License-Identifier: Apache-2.0
//! The numbers of the user and groups that an app runs as. `prepare` and `/init` come to the same result.

use super::App;
use crate::error::Result;
use crate::user::{ImageRoot, Person, groups_of, person, resolve_group, resolve_user};

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
        Ok(Accounts { uid, gid, supplementary, person })
    }
}
