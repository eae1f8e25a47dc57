// SPDX-License-Identifier: Apache-2.0
//! Plans a pod: what is written into its stage1, what is mounted, and what is executed. A plan is plain data, a pure
//! function of the manifests and of what the host can do.
//!
//! `service` makes the units. What the units start is described in files of their own ([`crate::launch_file`]). Nothing
//! is planned that would be ignored: what the host can't do becomes a warning.

pub mod dry_run;
mod limits;
pub(crate) mod nspawn;
mod program;
mod rights;
mod root;
mod service;
mod unit;

use std::collections::{BTreeMap, BTreeSet};

use pod::arch::Arch;
use pod::id::TreeId;
use pod::isolators::CapabilitySet;
use pod::manifest::Restart;
use pod::name::AppName;
use pod::{Accounts, App, Socket, layout};

use crate::exchange::statuses::Writes;
use crate::load::Loaded;
use crate::load::host::Host;
use crate::load::zone::Zone;
use crate::names::{self, Role};
use limits::Limits;

pub use root::{Root, Supplied};

/// The mode of a file that all in the pod's root may read.
const READABLE: u32 = 0o644;
/// The mode of a file that only root may read: environments may contain secrets.
const SECRET: u32 = 0o600;

/// What the caller of `/init` wants, beside the pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// nspawn and systemd show what they do.
    pub debug: bool,
    /// The exit code of a pod that can't be started; `None` means that of the step that failed.
    pub failure_code: Option<u8>,
}

/// Everything that turns a stage1 tree into this pod's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Directories to make or empty, by path in stage1.
    pub directories: Vec<(String, Directory)>,
    /// Files to write, by path in stage1.
    pub files: BTreeMap<String, File>,
    /// Symbolic links to make, by path in stage1.
    pub links: Vec<(String, String)>,
    /// The time zone of stage1 and of the apps; `None` means UTC.
    pub zone: Option<Zone>,
    /// The tree in the store that stage1 is an overlay on; `None` if the pod has a stage1 of its own.
    pub stage1: Option<TreeId>,
    /// The statuses that are written when the apps end.
    pub statuses: Vec<(AppName, Writes)>,
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
    /// The exit code if the pod can't be started; `None` means that of the step that failed.
    pub failure_code: Option<u8>,
    /// Requests that are not honoured, a line each.
    pub warnings: Vec<String>,
}

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its mode.
    pub mode: u32,
    /// Its content.
    pub content: String,
}

/// What happens to a directory before the pod starts. It is made if it is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directory {
    /// What an earlier start left in it is removed.
    Emptied,
    /// What is in it stays.
    Kept,
}

/// Plans a pod.
pub fn plan(loaded: &Loaded, host: &Host, options: &Options) -> Plan {
    let pod = &loaded.pod;
    let mut plan = Plan {
        stdin: pod.apps.len() == 1,
        stage1: loaded.stage1,
        zone: host.zone.clone(),
        failure_code: options.failure_code,
        warnings: pod.warnings.clone(),
        ..Plan::default()
    };
    for emptied in [layout::UNITS, layout::STATUS, layout::OWN, layout::APPS] {
        plan.directories.push((emptied.into(), Directory::Emptied));
    }
    plan.directories.push((layout::OUTCOME.into(), Directory::Kept));
    plan.write(names::MACHINE_ID, format!("{}\n", pod.id.machine_id()));
    plan.write(names::HOSTS, hosts(&pod.id.host_name()));
    plan.limits = limits::of_pod(pod, host.controllers, &mut plan.warnings);
    if let Some(resolv_conf) = &host.resolv_conf {
        plan.write(names::RESOLV_CONF, resolv_conf.clone());
    }
    let limits: Vec<_> = pod.apps.iter().map(|app| limits::of_app(app, host, &mut plan.warnings)).collect();
    // CPU shares are relative to neighbouring apps, so either every app is in a slice or none is.
    let sliced = limits.iter().any(|limits| !limits.resources.is_empty());
    for (app, limits) in pod.apps.iter().zip(&limits) {
        plan.add_app(app, &loaded.credentials[&app.name], limits, sliced);
        let root = root::root(app, &loaded.trees[&app.name], host.resolv_conf.is_some());
        plan.directories.push((root.at.clone(), Directory::Kept));
        plan.roots.push(root);
    }
    let (passwd, group) = accounts(loaded);
    plan.write(names::PASSWD, passwd);
    plan.write(names::GROUP, group);
    let wanted =
        pod.apps.iter().fold(CapabilitySet::default(), |all, app| all.union(rights::capabilities(app)));
    let pods_capabilities = wanted.without(CapabilitySet::DEFAULT);
    plan.nspawn = nspawn::words(Arch::current(), pod.id, pods_capabilities, options.debug);
    plan
}

impl Plan {
    fn write(&mut self, path: impl Into<String>, content: String) {
        self.files.insert(path.into(), File { mode: READABLE, content });
    }

    fn add_app(&mut self, app: &App, credentials: &Accounts, limits: &Limits, sliced: bool) {
        let sockets = program::sockets(app, self.sockets.len());
        self.sockets.extend(app.sockets.iter().cloned());
        let main = Some(&app.exec);
        let programs = [
            (Role::PreStart, app.pre_start.as_ref()),
            (Role::App, main),
            (Role::PostStop, app.post_stop.as_ref()),
        ];
        for (role, exec) in programs.into_iter().filter_map(|(role, exec)| Some((role, exec?))) {
            let launch = program::launch(role, app, exec, credentials, sockets.clone());
            let launch = serde_json::to_string_pretty(&launch).expect("text and numbers make JSON") + "\n";
            self.files.insert(role.launch_file(&app.name), File { mode: SECRET, content: launch });
            let unit = service::unit(role, app, credentials, limits);
            let unit = if sliced { unit.set("Slice", names::slice(&app.name)) } else { unit };
            self.write(names::unit_file(&role.unit(&app.name)), unit.into_text());
        }
        if sliced {
            let unit = service::slice_unit(&app.name, limits).into_text();
            self.write(names::unit_file(&names::slice(&app.name)), unit);
        }
        let writes = if app.restart == Restart::No { Writes::Once } else { Writes::Again };
        self.statuses.push((app.name.clone(), writes));
        let mut link = |wants, name| self.links.push((format!("{wants}/{name}"), format!("../{name}")));
        link(names::WANTS, Role::App.unit(&app.name));
        if app.post_stop.is_some() {
            link(names::EXIT_WANTS, Role::PostStop.unit(&app.name));
        }
    }
}

/// Returns the content of the pod's own passwd and group files.
///
/// systemd accepts numbers for `User=` and `Group=` only if it can look them up (measured with 252). The names have no
/// meaning, and no app sees these files.
fn accounts(loaded: &Loaded) -> (String, String) {
    let (mut uids, mut gids) = (BTreeSet::new(), BTreeSet::new());
    for Accounts { uid, gid, .. } in loaded.credentials.values() {
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
