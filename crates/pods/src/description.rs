// SPDX-License-Identifier: Apache-2.0
//! A pod's description: all that lists and reports print about it.

use std::path::PathBuf;

use anyhow::Result;
use pod::PodName;
use pod::id::PodId;
use pod::layout;
use store::DataDir;

use crate::contents::App;
use crate::directory::Pod;
use crate::history::{self, Moment, Run};
use crate::state::{State, look};

/// What is known about a pod.
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
    /// The runs, oldest first.
    pub runs: Vec<Run>,
    /// Why parts of this are missing.
    pub problem: Option<String>,
}

impl Description {
    /// Describes a pod.
    ///
    /// What can't be read of its directory is left out, and the reason is said, so that one damaged directory does not
    /// hide the others.
    ///
    /// # Errors
    /// If the state can't be told.
    pub fn of(pod: &Pod) -> Result<Self> {
        let seen = look(pod)?;
        let process = seen.process.map(|process| process.id());
        let mut description = Self { process, ..Self::empty(pod.id(), pod.path().to_owned(), seen.state) };
        let contents = pod.contents().and_then(|contents| Ok((contents, history::read(pod)?, pod.name()?)));
        match contents {
            Ok(((created, apps), runs, name)) => {
                (description.created, description.apps, description.runs) = (Some(created), apps, runs);
                description.name = name;
            }
            Err(error) => description.problem = Some(format!("{error:#}")),
        }
        Ok(description)
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
