// SPDX-License-Identifier: Apache-2.0
//! Plans a pod: what is written into its stage1, what is mounted, and what is executed. A plan is plain data, a pure
//! function of the manifests and of what the host can do.
//!
//! `service` makes the units. What the units start is described in files of their own ([`crate::exchange::launch_file`]). Nothing is
//! planned that would be ignored: what the host can't do becomes a warning.

pub mod dry_run;
mod limits;
mod program;
mod service;
pub(crate) mod unit;

use std::collections::{BTreeMap, BTreeSet};

use pod::arch::Arch;
use pod::id::TreeId;
use pod::isolators::CapabilitySet;
use pod::manifest::Restart;
use pod::name::AppName;
use pod::{App, Mount, Socket, layout};

use crate::exchange::launch_file::Launch;
use crate::exchange::statuses::Writes;
use crate::load::host::Host;
use crate::load::trees::Tree;
use crate::load::{Credentials, Loaded};
use crate::run::nspawn;
use limits::Limits;
use service::Role;

use crate::exchange::view;
pub use crate::exchange::view::Supplied;
pub(crate) use service::launchers_capabilities;

/// The directory of links to the apps' units that make up the pod, in stage1; it is below [`layout::UNITS`].
const WANTS: &str = "etc/systemd/system/default.target.wants";
/// The directory of launch files, in stage1. Only root can read them, since environments may contain secrets.
pub(crate) const LAUNCH: &str = "etc/gantry/launch";
/// The directory of links to the units that the pod's end starts, in stage1.
const EXIT_WANTS: &str = "etc/systemd/system/exit.target.wants";
/// The hosts file, in stage1, for apps that have none.
pub(crate) const HOSTS: &str = "etc/gantry/hosts";
/// The resolv.conf, in stage1, for apps that have none; absent if the host has none.
pub(crate) const RESOLV_CONF: &str = "etc/gantry/resolv.conf";

/// Everything that turns a stage1 tree into this pod's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Files to write, by path in stage1.
    pub files: BTreeMap<String, String>,
    /// Symbolic links to make, by path in stage1.
    pub links: BTreeMap<String, String>,
    /// The tree in the store that stage1 is an overlay on; `None` if the pod has a stage1 of its own.
    pub stage1: Option<TreeId>,
    /// The statuses that are written when the apps end.
    pub statuses: BTreeMap<AppName, Writes>,
    /// The apps' roots.
    pub roots: Vec<Root>,
    /// The sockets to open, in the order in which launchers count them.
    pub sockets: Vec<Socket>,
    /// The limits of the pod's cgroup: file and value.
    pub limits: Vec<(&'static str, String)>,
    /// Whether the app gets the caller's stdin, which it does if it is the pod's only one.
    pub stdin: bool,
    /// The command line to execute: the bundled loader, with nspawn and its arguments.
    pub nspawn: Vec<String>,
    /// Requests that are not honoured, a line each.
    pub warnings: Vec<String>,
}

/// An app's file system tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Where it is mounted, in stage1.
    pub at: String,
    /// What is mounted there.
    pub tree: Tree,
    /// Whether the app may not write to it.
    pub read_only: bool,
    /// Whether its /tmp is a tmpfs.
    pub tmp_in_memory: bool,
    /// The files that it is supplied with, in this order.
    pub supplied: Vec<Supplied>,
    /// The volumes that are mounted in it last.
    pub mounts: Vec<Mount>,
}

/// Plans a pod. With `debug`, nspawn and systemd show what they do.
pub fn plan(loaded: &Loaded, host: &Host, debug: bool) -> Plan {
    let pod = &loaded.pod;
    let mut plan = Plan {
        stdin: pod.apps.len() == 1,
        stage1: loaded.stage1,
        warnings: pod.warnings.clone(),
        ..Plan::default()
    };
    plan.files.insert("etc/machine-id".into(), format!("{}\n", pod.id.machine_id()));
    plan.files.insert(HOSTS.into(), hosts(&pod.id.host_name()));
    plan.limits = limits::of_pod(pod, host.controllers, &mut plan.warnings);
    if let Some(resolv_conf) = &host.resolv_conf {
        plan.files.insert(RESOLV_CONF.into(), resolv_conf.clone());
    }
    let limits: Vec<_> = pod.apps.iter().map(|app| limits::of_app(app, host, &mut plan.warnings)).collect();
    // CPU shares are relative to neighbouring apps, so either every app is in a slice or none is.
    let sliced = limits.iter().any(|limits| !limits.resources.is_empty());
    for (app, limits) in pod.apps.iter().zip(&limits) {
        plan.add_app(app, &loaded.credentials[&app.name], limits, sliced);
        plan.roots.push(view::root(app, &loaded.trees[&app.name], host.resolv_conf.is_some()));
    }
    let (passwd, group) = accounts(loaded);
    plan.files.insert("etc/passwd".into(), passwd);
    plan.files.insert("etc/group".into(), group);
    let wanted =
        pod.apps.iter().fold(CapabilitySet::default(), |all, app| all.union(service::capabilities(app)));
    let pods_capabilities = wanted.without(CapabilitySet::DEFAULT);
    plan.nspawn = nspawn::words(Arch::current(), pod.id, pods_capabilities, debug);
    plan
}

impl Plan {
    fn add_app(&mut self, app: &App, credentials: &Credentials, limits: &Limits, sliced: bool) {
        let sockets = program::sockets(app, self.sockets.len());
        self.sockets.extend(app.sockets.iter().cloned());
        let main = Some(&app.exec);
        let programs = [
            (Role::PreStart, app.pre_start.as_ref()),
            (Role::App, main),
            (Role::PostStop, app.post_stop.as_ref()),
        ];
        for (role, exec) in programs.into_iter().filter_map(|(role, exec)| Some((role, exec?))) {
            let launch =
                program::launch(app, exec, credentials, sockets.clone().filter(|_| role == Role::App));
            let launch = Launch { handler: role != Role::App, ..launch };
            let launch = serde_json::to_string_pretty(&launch).expect("text and numbers make JSON");
            self.files.insert(role.launch(&app.name), launch + "\n");
            let unit = service::unit(role, app, credentials, limits);
            let unit = if sliced { unit.set("Slice", service::slice(&app.name)) } else { unit };
            self.files.insert(format!("{}/{}", layout::UNITS, role.unit(&app.name)), unit.into_text());
        }
        if sliced {
            let (name, unit) = (service::slice(&app.name), service::slice_unit(&app.name, limits));
            self.files.insert(format!("{}/{name}", layout::UNITS), unit.into_text());
        }
        let writes = if app.restart == Restart::No { Writes::Once } else { Writes::Again };
        self.statuses.insert(app.name.clone(), writes);
        let mut link = |wants, name| self.links.insert(format!("{wants}/{name}"), format!("../{name}"));
        link(WANTS, Role::App.unit(&app.name));
        if app.post_stop.is_some() {
            link(EXIT_WANTS, Role::PostStop.unit(&app.name));
        }
    }
}

/// Returns the content of the pod's own passwd and group files.
///
/// systemd accepts numbers for `User=` and `Group=` only if it can look them up (measured with 252). The names have no
/// meaning, and no app sees these files.
fn accounts(loaded: &Loaded) -> (String, String) {
    let (mut uids, mut gids) = (BTreeSet::new(), BTreeSet::new());
    for Credentials { uid, gid, .. } in loaded.credentials.values() {
        uids.insert(*uid);
        gids.insert(*gid);
    }
    let user = |uid| format!("gantry-{uid}:x:{uid}:0::/:/\n");
    let group = |gid| format!("gantry-{gid}:x:{gid}:\n");
    (uids.into_iter().map(user).collect(), gids.into_iter().map(group).collect())
}

fn hosts(host_name: &str) -> String {
    format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 {host_name}\n")
}
