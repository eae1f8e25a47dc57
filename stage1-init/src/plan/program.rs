// SPDX-License-Identifier: Apache-2.0
//! Plans how an app's programs are started: a launch file for each.

use pod::exec::{Exec, Word};
use pod::isolators::CapabilitySet;
use pod::manifest::Users;
use pod::name::EnvName;
use pod::{Accounts, App, METADATA_URL, layout};

use crate::exchange::launch_file::{Filter, Launch, Sockets};
use crate::exchange::service;
use crate::exchange::view::NOTIFY;
use crate::names::Role;

/// The variable that says what kind of terminal a program has (environ(7)).
const TERM: &str = "TERM";

/// Returns the launch file of one of an app's programs. It has these users and capabilities.
pub(super) fn launch(
    role: Role,
    app: &App,
    exec: &Exec,
    credentials: &Accounts,
    users: Users,
    capabilities: CapabilitySet,
    sockets: Option<Sockets>,
) -> Launch {
    Launch {
        app: app.name.clone(),
        root: format!("/{}", layout::app(&app.name)).parse().expect("an app's root has a valid path"),
        exec: exec.clone(),
        directory: app.working_directory.clone(),
        environment: environment(app, credentials),
        users,
        user: credentials.uid,
        group: credentials.gid,
        groups: groups(credentials),
        handler: role != Role::App,
        terminal: None,
        notifies: app.notifies && role == Role::App,
        sockets: sockets.filter(|_| role == Role::App),
        seccomp: app.isolators.seccomp.as_ref().map(Filter::from),
        timing: None,
        capabilities,
    }
}

/// Adds where the metadata service is and where the app says that it is up, unless the manifest has variables of these names.
pub(super) fn with_places(mut launch: Launch, metadata: Option<&str>) -> Launch {
    let notify = launch.notifies.then_some((service::VARIABLE, NOTIFY));
    let own = &mut launch.environment;
    for (variable, value) in metadata.map(|url| (METADATA_URL, url)).into_iter().chain(notify) {
        if let Err(place) = own.binary_search_by(|(name, _)| name.as_str().cmp(variable)) {
            let name = variable.parse().expect("it is a variable's name");
            own.insert(place, (name, Word::try_from(value.to_owned()).expect("it has no NUL")));
        }
    }
    launch
}

/// Returns the environment of an app. [`App::check_sizes`] has shown that each value can be one of a program's.
fn environment(app: &App, credentials: &Accounts) -> Vec<(EnvName, Word)> {
    let all = app.full_environment(credentials.person.as_ref());
    let typed = all.into_iter().map(|(name, value)| {
        let name = name.parse().expect("names are the manifest's, or Gantry's own");
        (name, Word::try_from(value.into_owned()).expect("sizes were checked, and account files have no NUL"))
    });
    typed.collect()
}

/// Says what kind of terminal a program has, unless its environment does.
pub(super) fn set_terminal_kind(launch: &mut Launch, kind: &Word) {
    if !launch.environment.iter().any(|(name, _)| name.as_str() == TERM) {
        launch.environment.push((TERM.parse().expect("it is a name"), kind.clone()));
    }
}

/// Returns the supplementary groups of an app.
///
/// They include the primary group, as initgroups(3) does it: a process that gives up its primary group must not gain
/// access to what that group is denied.
fn groups(credentials: &Accounts) -> Vec<u32> {
    let mut groups = credentials.supplementary.clone();
    if !groups.is_empty() && !groups.contains(&credentials.gid) {
        groups.push(credentials.gid);
    }
    groups
}

/// Returns which of the pod's sockets are the app's, if any.
pub(super) fn sockets(app: &App, first: usize) -> Option<Sockets> {
    let names: Vec<_> = app.sockets.iter().map(|socket| socket.name.clone()).collect();
    (!names.is_empty()).then_some(Sockets { first, names })
}
