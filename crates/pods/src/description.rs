// SPDX-License-Identifier: Apache-2.0
//! A pod's description: all that lists and reports print about it.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Result;
use pod::PodName;
use pod::id::PodId;
use pod::layout;
use pod::manifest::PodPort;
use pod::network::{Mode, Settings};
use store::DataDir;

use crate::contents::{App, Contents};
use crate::directory::Pod;
use crate::history::{self, Moment, Run};
use crate::network;
use crate::process::Process;
use crate::state::{Seen, State, look};

/// The description of a pod.
#[derive(Clone, Debug)]
pub struct Description {
    /// The pod's id.
    pub id: PodId,
    /// The pod's name.
    pub name: Option<PodName>,
    /// The pod's directory.
    pub path: PathBuf,
    /// The state.
    pub state: State,
    /// The id of the pod's process, if it can be seen.
    pub process: Option<i32>,
    /// When the pod was prepared.
    pub created: Option<Moment>,
    /// The apps, in the manifest's order.
    pub apps: Vec<App>,
    /// The kind of the pod's network; `None` if its manifest can't be read.
    pub mode: Option<Mode>,
    /// Its addresses, if they were asked for, and it runs and has a network of its own.
    pub addresses: Vec<IpAddr>,
    /// Its ports on the host.
    pub ports: Vec<PodPort>,
    /// The runs, oldest first.
    pub runs: Vec<Run>,
    /// Why parts of this are missing.
    pub problem: Option<String>,
}

impl Description {
    /// Describes a pod, without its addresses: these take more calls than all the rest.
    ///
    /// What can't be read of its directory is left out, and the reason is said, so that one damaged directory does not
    /// hide the others.
    ///
    /// # Errors
    /// If the state can't be told.
    pub fn of(pod: &Pod) -> Result<Self> {
        Ok(Self::seen(pod, &look(pod)?))
    }

    /// Describes a pod, with its addresses.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn with_addresses(pod: &Pod) -> Result<Self> {
        let seen = look(pod)?;
        let mut description = Self::seen(pod, &seen);
        if let Some(process) = &seen.process
            && description.mode.as_ref().is_some_and(|mode| *mode != Mode::Host)
        {
            // It may be ending: then it has none.
            description.addresses = network::addresses(pod.id(), process).unwrap_or_default();
        }
        Ok(description)
    }

    fn seen(pod: &Pod, seen: &Seen) -> Self {
        let process = seen.process.as_ref().map(Process::id);
        let mut description = Self { process, ..Self::empty(pod.id(), pod.path().to_owned(), seen.state) };
        let contents = pod.contents().and_then(|contents| Ok((contents, history::read(pod)?, pod.name()?)));
        match contents {
            Ok((Contents { created, apps, network: Settings { mode, .. }, ports }, runs, name)) => {
                (description.created, description.apps, description.runs) = (Some(created), apps, runs);
                (description.mode, description.ports) = (Some(mode), ports);
                description.name = name;
            }
            Err(error) => description.problem = Some(format!("{error:#}")),
        }
        description
    }

    /// Describes a pod that is being prepared.
    pub fn of_preparing(data_dir: &DataDir, id: PodId) -> Self {
        Self::empty(id, data_dir.path().join(layout::STAGING).join(id.to_string()), State::Preparing)
    }

    fn empty(id: PodId, path: PathBuf, state: State) -> Self {
        Self {
            id,
            name: None,
            path,
            state,
            process: None,
            created: None,
            apps: Vec::new(),
            mode: None,
            addresses: Vec::new(),
            ports: Vec::new(),
            runs: Vec::new(),
            problem: None,
        }
    }

    /// Returns the last run: the present one, if the pod runs.
    pub fn last(&self) -> Option<&Run> {
        self.runs.last()
    }

    /// Returns when the pod ended: as recorded, or else when its last app did. `None` if neither is known.
    pub fn ended(&self) -> Option<Moment> {
        let of_apps = || self.apps.iter().filter_map(|app| Some(app.status?.ended)).max();
        (self.state == State::Exited).then(|| self.last().and_then(Run::ended).or_else(of_apps)).flatten()
    }
}
