// SPDX-License-Identifier: Apache-2.0
//! What an app's programs are started with.

use std::collections::BTreeMap;

use pod::exec::{Exec, Word};
use pod::user::Person;
use pod::{App, layout};

use super::service;
use crate::launch::{Filter, Launch, Sockets};
use crate::load::Credentials;

/// An app's PATH unless its manifest says otherwise (appc spec, execution environment).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn launch(app: &App, exec: &Exec, credentials: &Credentials, sockets: Option<Sockets>) -> Launch {
    Launch {
        app: app.name.to_string(),
        root: format!("/{}", layout::app(&app.name)),
        exec: exec.words().iter().map(|word| word.as_str().to_owned()).collect(),
        directory: app.working_directory.as_str().to_owned(),
        environment: environment(app, credentials),
        groups: groups(app, credentials),
        handler: false,
        sockets,
        seccomp: app.isolators.seccomp.as_ref().map(Filter::from),
        drop_capabilities: service::dropped_capabilities(app).iter().map(|one| one.number()).collect(),
    }
}

/// The primary group is among them, as initgroups(3) has it: who gives that up is not to come by what it is denied.
fn groups(app: &App, credentials: &Credentials) -> Vec<u32> {
    let mut groups = app.supplementary_gids.clone();
    if !groups.is_empty() && !groups.contains(&credentials.gid) {
        groups.push(credentials.gid);
    }
    groups
}

/// What the executor supplies, and over it the manifest's own.
fn environment<'a>(app: &'a App, credentials: &'a Credentials) -> BTreeMap<String, String> {
    let supplied = [("AC_APP_NAME", app.name.as_str()), ("PATH", PATH), ("container", "gantry")];
    let of_person = |person: &'a Person| {
        let Person { name, home, shell } = person;
        [("USER", name), ("LOGNAME", name), ("HOME", home), ("SHELL", shell)]
    };
    let names_user =
        credentials.person.iter().flat_map(of_person).map(|(name, value)| (name, value.as_str()));
    let own = app.environment.iter().map(|(name, value)| (name.as_str(), Word::as_str(value)));
    let mut all = BTreeMap::new();
    for (name, value) in supplied.into_iter().chain(names_user).chain(own) {
        all.insert(name.to_owned(), value.to_owned());
    }
    all
}

/// Which of the pod's sockets are the app's, if any.
pub(super) fn sockets(app: &App, first: usize) -> Option<Sockets> {
    let names: Vec<_> = app.sockets.iter().map(|socket| socket.name.to_string()).collect();
    (!names.is_empty()).then_some(Sockets { first, names })
}
