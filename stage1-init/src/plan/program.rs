// SPDX-License-Identifier: Apache-2.0
//! What an app's programs are started with.

use pod::exec::Exec;
use pod::{App, layout};

use super::service;
use crate::exchange::launch_file::{Filter, Launch, Sockets};
use crate::load::Credentials;

pub(super) fn launch(app: &App, exec: &Exec, credentials: &Credentials, sockets: Option<Sockets>) -> Launch {
    let environment = app.full_environment(credentials.person.as_ref());
    Launch {
        app: app.name.to_string(),
        root: format!("/{}", layout::app(&app.name)),
        exec: exec.words().iter().map(|word| word.as_str().to_owned()).collect(),
        directory: app.working_directory.as_str().to_owned(),
        environment: environment.into_iter().map(|(name, value)| (name.into(), value.into_owned())).collect(),
        groups: groups(app, credentials),
        handler: false,
        sockets,
        seccomp: app.isolators.seccomp.as_ref().map(Filter::from),
        user_namespaces: service::may_administer(app),
        drop_capabilities: service::dropped_capabilities(app).iter().map(|one| one.number()).collect(),
    }
}

/// Returns the supplementary groups of an app.
///
/// They include the primary group, as initgroups(3) does it: a process that gives up its primary group must not gain
/// access to what that group is denied.
fn groups(app: &App, credentials: &Credentials) -> Vec<u32> {
    let mut groups = app.supplementary_gids.clone();
    if !groups.is_empty() && !groups.contains(&credentials.gid) {
        groups.push(credentials.gid);
    }
    groups
}

/// Returns which of the pod's sockets are the app's, if any.
pub(super) fn sockets(app: &App, first: usize) -> Option<Sockets> {
    let names: Vec<_> = app.sockets.iter().map(|socket| socket.name.to_string()).collect();
    (!names.is_empty()).then_some(Sockets { first, names })
}
