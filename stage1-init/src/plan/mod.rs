// SPDX-License-Identifier: Apache-2.0
//! Plans a pod: what is written into its stage1, what is mounted, and what is executed. A plan is plain data, a pure
//! function of the manifests and of what the host can do.
//!
//! `service` makes the units. What the units start is described in files of their own ([`crate::launch_file`]). Nothing
//! is planned that would be ignored: what the host can't do becomes a warning.

pub mod dry_run;
mod limits;
mod metadata;
mod naming;
pub(crate) mod nspawn;
mod options;
mod program;
mod root;
mod service;
mod unit;
mod users;

use std::collections::BTreeMap;

use pod::arch::Arch;
use pod::exec::Word;
use pod::id::TreeId;
use pod::isolators::{CapabilitySet, Sysctl};
use pod::manifest::{Restart, Users};
use pod::name::AppName;
use pod::network::Mode;
use pod::{Accounts, App, Socket, layout};

use crate::exchange::statuses::Writes;
use crate::load::Loaded;
use crate::load::host::Host;
use crate::load::ids::{BLOCK, Ids};
use crate::load::metadata::{Access, Form};
use crate::load::zone::Zone;
use crate::names::{self, Role};
use limits::Limits;

pub use options::{Manager, Options, Terminal};
use root::Hosts;
pub use root::{Fresh, Root, Supplied};

/// The mode of a file that all in the pod's root may read.
const READABLE: u32 = 0o644;
/// The mode of a file that only root may read: environments may contain secrets.
const SECRET: u32 = 0o600;

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
    /// The sysctls that are set in the pod's namespaces.
    pub sysctls: Vec<Sysctl>,
    /// Whether the app gets the caller's stdin, which it does if it is the pod's only one.
    pub stdin: bool,
    /// The app that gets a terminal of the pod's, if one does. The other side goes to the socket that is the caller's stdin.
    pub terminal: Option<AppName>,
    /// The manager that waits until the apps are up.
    pub manager: Manager,
    /// The ids of the pod's users on the host; `None` means the host's own users.
    pub ids: Option<Ids>,
    /// The host's id of the only app's user, who may open the caller's terminal anew; `None` if that changes nothing.
    pub terminal_user: Option<u32>,
    /// How readily the kernel may be told to end an app's processes, at the least (proc_pid_oom_score_adj(5)); `None` if
    /// no app asks for less than this process has.
    pub oom_score_least: Option<i16>,
    /// Whether it has a metadata service, which needs a key.
    pub has_metadata: bool,
    /// The kind of network that the pod has.
    pub network_mode: Mode,
    /// The pod's own network, if it has one with a way out.
    pub network: Option<network::plan::Plan>,
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

/// The treatment of a directory before the pod starts. It is made if it is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directory {
    /// Everything that an earlier start left in it is removed.
    Emptied,
    /// Its content stays.
    Kept,
}

/// Plans a pod.
pub fn plan(loaded: &Loaded, host: &Host, options: &Options) -> Plan {
    let pod = &loaded.pod;
    let mut plan = Plan {
        stdin: pod.apps.len() == 1 && options.terminal.is_none(),
        terminal: options.terminal.as_ref().map(|terminal| terminal.app.clone()),
        stage1: loaded.stage1,
        zone: host.zone.clone(),
        manager: options.manager,
        ids: host.ids,
        failure_code: options.failure_code,
        sysctls: pod.sysctls.clone(),
        network: host.network.plan.clone(),
        network_mode: pod.network.mode.clone(),
        warnings: [pod.warnings.clone(), host.network.warnings.clone()].concat(),
        ..Plan::default()
    };
    for emptied in [layout::UNITS, layout::STATUS, layout::OWN, layout::APPS] {
        plan.directories.push((emptied.into(), Directory::Emptied));
    }
    plan.directories.push((layout::OUTCOME.into(), Directory::Kept));
    plan.write(names::MACHINE_ID, format!("{}\n", pod.id.machine_id()));
    let hosts = naming::hosts(pod, &host.network);
    let resolv_conf = naming::resolv_conf(pod, &host.network, &mut plan.warnings);
    let has_resolv_conf = resolv_conf.is_some();
    resolv_conf.into_iter().for_each(|file| plan.write(layout::RESOLV_CONF, file));
    hosts.iter().for_each(|hosts| plan.write(layout::HOSTS, hosts.pods()));
    plan.warnings.extend(naming::of_hosts_network(pod, &loaded.credentials));
    plan.limits = limits::of_pod(pod, host, &mut plan.warnings);
    let own_users = match host.ids {
        None => vec![None; pod.apps.len()],
        Some(_) => users::own(pod, &mut plan.warnings),
    };
    let each = pod.apps.iter().zip(&own_users);
    let limits: Vec<_> =
        each.map(|(app, own)| limits::of_app(app, host, own.is_some(), &mut plan.warnings)).collect();
    // CPU shares are relative to neighbouring apps, so either every app is in a slice or none is.
    let tasks = limits::tasks_of_pod(pod, &own_users, host.controllers, &mut plan.warnings);
    let sliced = tasks.is_some() || limits.iter().any(|limits| !limits.resources.is_empty());
    if let Some(tasks) = tasks {
        plan.write(names::unit_file(names::APPS_SLICE), service::apps_slice_unit(tasks).into_text());
    }
    plan.oom_score_least = limits::least_oom_score(pod, host);
    if options.timing {
        plan.write(names::EXIT_TIMED, service::timed_exit().into_text());
    }
    plan.write(names::USERS, users_file(pod, &own_users));
    host.metadata.iter().for_each(|access| plan.add_metadata(loaded, access));
    if let ([app], [own], Some(ids)) = (pod.apps.as_slice(), own_users.as_slice(), host.ids) {
        plan.terminal_user = Some(ids.first() + own.unwrap_or_default() + loaded.credentials[&app.name].uid);
    }
    let sockets = pod.apps.iter().map(|app| app.sockets.len()).sum();
    for ((app, limits), own) in pod.apps.iter().zip(&limits).zip(own_users) {
        let users = match (host.ids, own) {
            (None, _) => Users::Host,
            (Some(_), None) => Users::Shared,
            (Some(_), Some(_)) => Users::Own,
        };
        let url = host.metadata.as_ref().map(Access::url);
        let terminal = options.terminal.as_ref().filter(|terminal| terminal.app == app.name);
        let terminal = terminal.map(|terminal| (sockets, terminal.kind.as_ref()));
        let given = Additions { metadata: url.as_deref(), terminal, options };
        plan.add_app(app, &loaded.credentials[&app.name], limits, sliced, users, given);
        let first_id = host.ids.map(|ids| ids.first() + own.unwrap_or_default());
        let hosts = match (&hosts, loaded.hosts.get(&app.name)) {
            (None, _) => Hosts::None,
            (Some(_), None) => Hosts::Pods,
            (Some(hosts), Some(own)) => {
                plan.write(layout::own_hosts(&app.name), hosts.complete(own));
                Hosts::Own
            }
        };
        let root = root::root(app, &loaded.trees[&app.name], first_id, hosts, has_resolv_conf);
        plan.directories.push((root.at.clone(), Directory::Kept));
        let places = root.fresh.iter().filter_map(|fresh| fresh.place.clone());
        plan.directories.extend(places.map(|place| (place, Directory::Kept)));
        plan.roots.push(root);
    }
    let wanted = pod.apps.iter().fold(CapabilitySet::default(), |all, app| all.union(app.capabilities()));
    let pods_capabilities = wanted.without(CapabilitySet::DEFAULT);
    plan.nspawn = nspawn::words(Arch::current(), pod, host.ids, pods_capabilities, options);
    plan
}

/// The values that an app is given beside those of its manifest.
struct Additions<'a> {
    /// The URL of the metadata service.
    metadata: Option<&'a str>,
    /// The index of its terminal's socket, and the terminal's kind.
    terminal: Option<(usize, Option<&'a Word>)>,
    options: &'a Options,
}

impl Plan {
    fn write(&mut self, path: impl Into<String>, content: String) {
        self.files.insert(path.into(), File { mode: READABLE, content });
    }

    /// Adds the metadata service.
    fn add_metadata(&mut self, loaded: &Loaded, access: &Access) {
        let content = metadata::file(loaded, access);
        self.files.insert(names::METADATA_FILE.into(), File { mode: SECRET, content });
        self.write(names::unit_file(names::METADATA_SOCKET), metadata::socket_unit(access));
        let service = metadata::service_unit(metadata::user(loaded));
        self.write(names::unit_file(names::METADATA_SERVICE), service);
        if matches!(access.form, Form::Token { on_host: true, .. }) {
            self.write(names::METADATA_LOADED, metadata::loaded());
        }
        let link = (names::METADATA_SOCKET, format!("../{}", names::METADATA_SOCKET));
        self.links.push((format!("{}/{}", names::POD_WANTS, link.0), link.1));
        self.has_metadata = true;
    }

    fn add_app(
        &mut self,
        app: &App,
        credentials: &Accounts,
        limits: &Limits,
        sliced: bool,
        users: Users,
        Additions { metadata, terminal, options }: Additions<'_>,
    ) {
        let sockets = program::sockets(app, self.sockets.len());
        self.sockets.extend(app.sockets.iter().cloned());
        let main = Some(&app.exec);
        let programs = [
            (Role::PreStart, app.pre_start.as_ref()),
            (Role::App, main),
            (Role::PostStop, app.post_stop.as_ref()),
        ];
        for (role, exec) in programs.into_iter().filter_map(|(role, exec)| Some((role, exec?))) {
            let mut launch =
                program::launch(role, app, exec, credentials, users, limits.capabilities, sockets.clone());
            launch = program::with_places(launch, metadata);
            let terminal = terminal.filter(|_| role == Role::App);
            launch.terminal = terminal.map(|(socket, _)| socket);
            launch.timing = options.timing.then(|| role.service(&app.name));
            if let Some((_, Some(kind))) = terminal {
                program::set_terminal_kind(&mut launch, kind);
            }
            let launch = serde_json::to_string_pretty(&launch).expect("text and numbers make JSON") + "\n";
            self.files.insert(role.launch_file(&app.name), File { mode: SECRET, content: launch });
            let unit = service::unit(role, app, limits, options);
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

/// Returns the file that lists the apps with users of their own ([`names::USERS`]).
///
fn users_file(pod: &pod::Pod, own: &[Option<u32>]) -> String {
    let of = pod.apps.iter().zip(own).filter_map(|(app, first)| Some((app, (*first)?)));
    let line = |(app, first): (&App, u32)| format!("{} {first} {BLOCK} {}\n", app.name, limits::tasks(app));
    of.map(line).collect()
}
