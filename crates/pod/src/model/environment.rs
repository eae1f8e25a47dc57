// SPDX-License-Identifier: Apache-2.0
//! The environment of an app's programs, and whether the kernel accepts it together with their arguments.
//!
//! `prepare` and `/init` come to the same result: part of the environment is from the image's passwd file, whose fields
//! may be of any length.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::App;
use crate::error::Result;
use crate::exec::check_total;
use crate::user::Person;

/// An app's PATH unless its manifest has one (appc spec, execution environment).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The variable that says where the metadata service is (appc spec, execution environment).
pub const METADATA_URL: &str = "AC_METADATA_URL";
/// A value as long as any that `/init` gives it: the address of a service with a token of 128 bits.
const LONGEST_URL: &str = "http://169.254.169.255:65535/00112233445566778899aabbccddeeff";
/// A number as long as any process id.
const PROCESS: &str = "4194304";

impl App {
    /// Returns the environment. The app's user overrides what the executor supplies, and the manifest overrides both.
    ///
    /// `person` is the user in the image's files, see [`App::accounts`].
    pub fn full_environment<'a>(&'a self, person: Option<&'a Person>) -> BTreeMap<&'a str, Cow<'a, str>> {
        let name = Cow::from(self.name.in_manifest());
        let supplied = [("AC_APP_NAME", name), ("PATH", PATH.into()), ("container", "gantry".into())];
        let of_person = |person: &'a Person| {
            let Person { name, home, shell } = person;
            [("USER", name), ("LOGNAME", name), ("HOME", home), ("SHELL", shell)]
        };
        let is_named = |name: &str| self.names_user || self.has_home && name == "HOME";
        let names_user = person.into_iter().flat_map(of_person).filter(|(name, _)| is_named(name));
        let names_user = names_user.map(|(name, value)| (name, value.as_str().into()));
        let own = self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str().into()));
        supplied.into_iter().chain(names_user).chain(own).collect()
    }

    /// Returns the PATH in which programs given by name are looked for.
    pub fn path(&self) -> &str {
        let own = self.environment.iter().rev().find(|(name, _)| name.as_str() == "PATH");
        own.map_or(PATH, |(_, value)| value.as_str())
    }

    /// Checks that the kernel accepts what each of the app's programs is started with.
    ///
    /// # Errors
    /// Fails if it is too long.
    pub fn check_sizes(&self, person: Option<&Person>) -> Result<()> {
        let mut environment = self.full_environment(person);
        environment.entry(METADATA_URL).or_insert(LONGEST_URL.into());
        let handlers = [&self.pre_start, &self.post_stop].into_iter().flatten();
        handlers.into_iter().try_for_each(|handler| check_total(handler, &environment))?;
        // The variables of sd_listen_fds_with_names(3).
        let names: Vec<_> = self.sockets.iter().map(|socket| socket.name.as_str()).collect();
        let (names, count) = (names.join(":"), self.sockets.len().to_string());
        if !self.sockets.is_empty() {
            environment.extend([
                ("LISTEN_FDNAMES", names.into()),
                ("LISTEN_FDS", count.into()),
                ("LISTEN_PID", PROCESS.into()),
            ]);
        }
        check_total(&self.exec, &environment)
    }
}
