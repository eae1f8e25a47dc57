// SPDX-License-Identifier: Apache-2.0
//! What a pod's manifest and its images' manifests mean together: the one model the rest of Gantry sees.

mod assemble;
mod environment;
mod mounts;
mod ports;

pub use mounts::check_targets;

use crate::digest::Digest;
use crate::exec::{Exec, Word};
use crate::id::PodId;
use crate::isolators::{Isolators, Resource};
use crate::manifest::{Ownership, Protocol, Restart};
use crate::name::{AppName, EnvName, PortName, VolumeName};
use crate::path::AbsolutePath;
use crate::user::Account;

/// A pod: apps that run together. Every image is at hand, every mount point has its volume, names are distinct, and
/// no two sockets want the same port.
#[derive(Clone, Debug)]
pub struct Pod {
    /// The pod's id.
    pub id: PodId,
    /// The apps in the manifest's order; one at least.
    pub apps: Vec<App>,
    /// The CPU time that all of it may have.
    pub cpu: Resource,
    /// The memory that all of it may have.
    pub memory: Resource,
    /// What was asked for and is not done, a line each.
    pub warnings: Vec<String>,
}

/// An app: an image's tree, and how a program runs in it.
#[derive(Clone, Debug)]
pub struct App {
    /// Its name in the pod.
    pub name: AppName,
    /// The image it is made of.
    pub image: Digest,
    /// The program and its arguments.
    pub exec: Exec,
    /// Whom it runs as.
    pub user: Account,
    /// Its primary group.
    pub group: Account,
    /// Further groups.
    pub supplementary_gids: Vec<u32>,
    /// Where it starts.
    pub working_directory: AbsolutePath,
    /// Its own environment, in order.
    pub environment: Vec<(EnvName, Word)>,
    /// Whether the environment says who its user is, as 0.1 has it: USER, LOGNAME, HOME and SHELL.
    pub names_user: bool,
    /// Runs to completion before the app.
    pub pre_start: Option<Exec>,
    /// Runs once the app is gone.
    pub post_stop: Option<Exec>,
    /// Whether it may not write to its root.
    pub read_only_root: bool,
    /// What is mounted into its tree; no target lies in another.
    pub mounts: Vec<Mount>,
    /// The sockets it is started with, in the order in which it gets them.
    pub sockets: Vec<Socket>,
    /// What it may do and use.
    pub isolators: Isolators,
    /// When it is started again.
    pub restart: Restart,
    /// How long it has to end after SIGTERM, in seconds, unless that is nobody's concern.
    pub stop_timeout: Option<u32>,
    /// How long its post-stop handler may run, in seconds, if it is said.
    pub post_stop_timeout: Option<u32>,
}

/// A volume in an app's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub source: Source,
    /// Where it goes in the app's tree.
    pub target: AbsolutePath,
    /// Whether the app may not write to it.
    pub read_only: bool,
}

/// What a volume is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file or directory of the host.
    Host {
        /// Where it is.
        path: AbsolutePath,
        /// Whether what is mounted below it comes with it.
        recursive: bool,
    },
    /// A directory of the pod's own, the same wherever the volume is mounted.
    Empty {
        /// The volume.
        volume: VolumeName,
        /// The app that alone knows the volume, if it is not the pod's.
        app: Option<AppName>,
        /// Whose it is.
        ownership: Ownership,
    },
}

/// A socket that an app is started with, bound and, for TCP, listening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// The port's name, by which the app knows it (sd_listen_fds_with_names(3)).
    pub name: PortName,
    /// What is spoken.
    pub protocol: Protocol,
    /// The port's number, 1 to 65535.
    pub port: u16,
}
