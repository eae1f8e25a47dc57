// SPDX-License-Identifier: Apache-2.0
//! The settings of a pod and its apps, as types that can't hold a bad value.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pod::HostName;
use pod::exec::Word;
use pod::isolators::{CapabilitySet, Capacity, Quantity};
use pod::manifest::{Metadata, Restart, Users, Volume};
use pod::name::{EnvName, VolumeName};
use pod::network::{Published, Settings};
use pod::path::AbsolutePath;
use pod::signal::Signal;
use pod::user::Account;

use crate::volume_argument::VolumeArgument;

/// The command line's settings of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSettings {
    /// Its host name.
    pub host_name: Option<HostName>,
    /// Whose users its apps' users are.
    pub users: Option<Users>,
    /// How much its /dev/shm holds.
    pub shm: Option<Capacity>,
    /// The most processes and threads of all its apps.
    pub tasks: Option<u32>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The settings of its network.
    pub network: Settings,
    /// Whether it has a metadata service.
    pub metadata: Metadata,
    /// Its published ports.
    pub published: Vec<Published>,
}

/// One thing that is said about an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The program, in place of the image's.
    Program(Word),
    /// A variable of its environment; without a value, nothing.
    Environment(EnvName, Option<Word>),
    /// A file of variables.
    EnvironmentFile(PathBuf),
    /// The user, and maybe the group.
    User(Account, Option<Account>),
    /// The working directory.
    Directory(AbsolutePath),
    /// A mount.
    Mount(AppMount),
    /// The most memory.
    Memory(Quantity),
    /// The most CPU time.
    Cpu(Quantity),
    /// The most processes and threads.
    Tasks(u32),
    /// How much its /tmp holds, in memory.
    Tmp(Capacity),
    /// Capabilities that it has beside those of the image.
    Add(Capabilities),
    /// Capabilities that it doesn't have.
    Drop(Capabilities),
    /// Whether its root is read-only.
    ReadOnly(bool),
    /// When it is started again.
    Restart(Restart),
    /// How long it has to end, in seconds.
    StopTimeout(u32),
    /// The signal that stops it.
    StopSignal(Signal),
}

/// The command line's settings of an app. Its image has the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppOptions {
    /// The program.
    pub program: Option<Word>,
    /// The arguments, in place of the image's.
    pub arguments: Option<Vec<Word>>,
    /// Files of variables; these count less than `environment`.
    pub environment_files: Vec<PathBuf>,
    /// Variables; of equal names the last one counts.
    pub environment: Vec<(EnvName, Word)>,
    /// The user, and maybe the group.
    pub user: Option<(Account, Option<Account>)>,
    /// The working directory.
    pub directory: Option<AbsolutePath>,
    /// The mounts.
    pub mounts: Vec<AppMount>,
    /// The most memory.
    pub memory: Option<Quantity>,
    /// The most CPU time.
    pub cpu: Option<Quantity>,
    /// The most processes and threads.
    pub tasks: Option<u32>,
    /// How much its /tmp holds, in memory.
    pub tmp: Option<Capacity>,
    /// Capabilities that it has beside those of the image.
    pub add: Capabilities,
    /// Capabilities that it doesn't have.
    pub drop: Capabilities,
    /// Whether its root is read-only.
    pub read_only: bool,
    /// When it is started again.
    pub restart: Option<Restart>,
    /// How long it has to end, in seconds.
    pub stop_timeout: Option<u32>,
    /// The signal that stops it.
    pub stop_signal: Option<Signal>,
}

/// Capabilities, or all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The capabilities that are named.
    pub named: CapabilitySet,
    /// Whether all are meant.
    pub all: bool,
}

/// A mount in an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppMount {
    /// Its place in the app's root.
    pub target: AbsolutePath,
    /// The volume or the host's file that is mounted.
    pub source: MountSource,
}

/// A source of a mount in an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// A volume of the app's own.
    Own(Volume),
    /// The pod's volume of this name.
    OfPod(VolumeName),
}

/// The value of an option that defines a volume of the pod, or mounts something in an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeOption {
    /// A volume of the pod.
    Volume(VolumeArgument),
    /// A mount in an app.
    Mount(AppMount),
}

impl AppOptions {
    /// Adds a setting. Of what can be said once, the last one counts.
    pub fn add(&mut self, setting: Setting) {
        match setting {
            Setting::Program(program) => self.program = Some(program),
            Setting::Environment(name, value) => self.environment.extend(value.map(|value| (name, value))),
            Setting::EnvironmentFile(path) => self.environment_files.push(path),
            Setting::User(user, group) => self.user = Some((user, group)),
            Setting::Directory(directory) => self.directory = Some(directory),
            Setting::Mount(mount) => self.mounts.push(mount),
            Setting::Memory(memory) => self.memory = Some(memory),
            Setting::Cpu(cpu) => self.cpu = Some(cpu),
            Setting::Tasks(tasks) => self.tasks = Some(tasks),
            Setting::Tmp(tmp) => self.tmp = Some(tmp),
            Setting::Add(capabilities) => self.add = self.add.union(capabilities),
            Setting::Drop(capabilities) => self.drop = self.drop.union(capabilities),
            Setting::ReadOnly(read_only) => self.read_only = read_only,
            Setting::Restart(restart) => self.restart = Some(restart),
            Setting::StopTimeout(seconds) => self.stop_timeout = Some(seconds),
            Setting::StopSignal(signal) => self.stop_signal = Some(signal),
        }
    }

    /// Tells whether the app is as its image has it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Capabilities {
    fn union(self, other: Self) -> Self {
        Self { named: self.named.union(other.named), all: self.all || other.all }
    }
}
