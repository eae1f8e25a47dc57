// SPDX-License-Identifier: Apache-2.0
//! The model: what a pod's manifest and its images' manifests mean together. The rest of Gantry sees nothing else of
//! them.

pub(crate) mod accounts;
mod assemble;
pub(crate) mod environment;
pub(crate) mod mounts;
mod ports;
mod rights;

use crate::called::HostName;
use crate::exec::{Exec, Word};
use crate::id::{ImageId, PodId};
use crate::isolators::{Capacity, Isolators, Quantity, Rates, Resource, Sysctl};
use crate::manifest::{Links, Metadata, Ownership, Protocol, Restart, StopMode, Tmp, Users};
use crate::name::{AppName, EnvName, PortName, VolumeName};
use crate::network::{Published, Settings};
use crate::path::AbsolutePath;
use crate::signal::Signal;
use crate::user::Account;

/// A pod: apps that run together.
///
/// Every image is available, every mount point has its volume, names are distinct, and no two sockets use the same
/// port.
#[derive(Clone, Debug)]
pub struct Pod {
    /// The pod's id.
    pub id: PodId,
    /// The apps in the manifest's order, at least one.
    pub apps: Vec<App>,
    /// The CPU time that the whole pod may have.
    pub cpu: Resource,
    /// The memory that the whole pod may have.
    pub memory: Resource,
    /// How many processes and threads its apps may have together; `None` means the sum of what each may have.
    pub tasks: Option<u32>,
    /// How much its /dev/shm holds, which its apps share.
    pub shm: Capacity,
    /// The rates at which it may read from and write to block devices; those of its only app, too.
    pub block: Rates,
    /// The bytes a second that it may send, and as many that it may receive; that of its only app, too.
    pub network_bandwidth: Option<Quantity>,
    /// The sysctls of its own that are set before its apps start.
    pub sysctls: Vec<Sysctl>,
    /// Whether its users are the host's.
    pub has_hosts_users: bool,
    /// Its host name; `None` means the one that is made from its id.
    pub host_name: Option<HostName>,
    /// The settings of its network.
    pub network: Settings,
    /// Whether it has a metadata service.
    pub metadata: Metadata,
    /// The published ports; none unless it has a network of its own.
    pub published: Vec<Published>,
    /// Requests that are not honoured, one line each.
    pub warnings: Vec<String>,
}

/// An app: an image's tree, and how a program runs in it.
#[derive(Clone, Debug)]
pub struct App {
    /// Its name in the pod.
    pub name: AppName,
    /// The image that it is made of.
    pub image: ImageId,
    /// The program and its arguments.
    pub exec: Exec,
    /// The user it runs as.
    pub user: Account,
    /// Its primary group.
    pub group: Account,
    /// Further groups.
    pub supplementary_gids: Vec<u32>,
    /// Whether its groups are those that the image's files give its user. `group` counts where they don't know the user.
    pub has_users_groups: bool,
    /// Its working directory.
    pub working_directory: AbsolutePath,
    /// Its own environment, in order.
    pub environment: Vec<(EnvName, Word)>,
    /// Whether the environment contains its user, as in 0.1: USER, LOGNAME, HOME and SHELL.
    pub names_user: bool,
    /// Whether the environment contains its user's HOME.
    pub has_home: bool,
    /// The handler that runs to completion before the app.
    pub pre_start: Option<Exec>,
    /// The handler that runs once the app has ended.
    pub post_stop: Option<Exec>,
    /// Whether its root is read-only.
    pub read_only_root: bool,
    /// The mounts in its tree; no target lies within another.
    pub mounts: Vec<Mount>,
    /// The sockets that it is started with, in the order in which it gets them.
    pub sockets: Vec<Socket>,
    /// The isolators: what it may do and use.
    pub isolators: Isolators,
    /// When it is started again.
    pub restart: Restart,
    /// The exit codes beside 0 that are a good end.
    pub success_codes: Vec<u8>,
    /// The signal that stops it; `None` means SIGTERM.
    pub stop_signal: Option<Signal>,
    /// The processes, of the app and of its handlers, that this signal goes to.
    pub stop_mode: StopMode,
    /// How long it has to end after that signal, in seconds; `None` means the default.
    pub stop_timeout: Option<u32>,
    /// How long its post-stop handler may run, in seconds; `None` means the default.
    pub post_stop_timeout: Option<u32>,
    /// Whether it says when it is up (sd_notify(3)).
    pub notifies: bool,
    /// The content of its /tmp at the beginning of a run.
    pub tmp: Tmp,
    /// The users that it has; [`Users::Host`] only if the pod's are the host's.
    pub users: Users,
}

impl App {
    /// Returns how much the app's /tmp holds, if that is in memory and none of the image's.
    pub fn tmp(&self) -> Option<Capacity> {
        let capacity = self.isolators.tmp.or(self.read_only_root.then_some(Capacity::TMP));
        capacity.filter(|_| self.tmp == Tmp::Kept)
    }

    /// Lists the directories that begin anew with each run of the app, with what its tree has there, and how much each holds.
    pub fn fresh(&self) -> Vec<(&'static str, Capacity)> {
        let tmp = (self.tmp == Tmp::Fresh).then(|| ("/tmp", self.isolators.tmp.unwrap_or(Capacity::TMP)));
        RUN.into_iter().map(|run| (run, Capacity::RUN)).chain(tmp).collect()
    }
}

/// The directories of what belongs to a run. Images have the second one as a link to the first, or as a directory of its own.
const RUN: [&str; 2] = ["/run", "/var/run"];

/// A volume in an app's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The volume, or the file system in memory, that is mounted.
    pub source: Source,
    /// Its path in the app's tree.
    pub target: AbsolutePath,
    /// Whether it is read-only for the app.
    pub read_only: bool,
}

/// The source of a volume's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file or directory of the host.
    Host {
        /// Its path.
        path: AbsolutePath,
        /// Whether mounts below it are included.
        recursive: bool,
        /// Whether links in its path are followed.
        links: Links,
    },
    /// A directory of the pod's own, or a file system in memory. It is the same wherever the volume is mounted.
    Empty {
        /// The volume.
        volume: VolumeName,
        /// The app that the volume belongs to, or `None` if it is the pod's.
        app: Option<AppName>,
        /// Its permissions, user and group.
        ownership: Ownership,
        /// How much it holds, if it is in memory.
        capacity: Option<Capacity>,
        /// Whether it begins with what the image has at its mount point.
        is_copied: bool,
    },
}

/// A socket that an app is started with, bound and, for TCP, listening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// The port's name, by which the app finds the socket (sd_listen_fds_with_names(3)).
    pub name: PortName,
    /// The protocol.
    pub protocol: Protocol,
    /// The port's number, 1 to 65535.
    pub port: u16,
}
