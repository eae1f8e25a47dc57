// SPDX-License-Identifier: Apache-2.0
//! Waits for the beginning of a pod's run: until its apps may have started, until one of them has, or until the run has ended.

use std::time::{Duration, Instant};

use anyhow::Result;
use sys::Interrupt;

use crate::app::begun;
use crate::cgroup::Cgroup;
use crate::directory::Pod;
use crate::enter::app_called;
use crate::history::{self, Run};
use crate::process::Process;
use crate::state::{State, look, outcome_says};

/// How often the pod is looked at.
const STEP: Duration = Duration::from_millis(5);
/// How long an app may take to begin once its pod runs.
const PATIENCE: Duration = Duration::from_secs(10);
/// The file in the outcome that says that apps may have started (`stage1-init/src/exchange/outcome.rs`).
const BEGAN: &str = "began";

/// The result of waiting for a run's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The pod runs.
    Runs,
    /// The run has ended already. It is given, if there is a record of it.
    Ended(Option<Run>),
}

/// Returns how many runs a pod's history has.
///
/// # Errors
/// If the history can't be read.
pub fn runs(pod: &Pod) -> Result<usize> {
    Ok(history::read(pod)?.len())
}

/// Waits for the begin of the run that `process` is, or becomes. The pod had `before` runs until then.
///
/// # Errors
/// If `interrupt` has a signal, or the system fails.
pub fn wait_for_begin(pod: &Pod, before: usize, process: &Process, interrupt: &Interrupt) -> Result<Begun> {
    loop {
        interrupt.check()?;
        let found = look(pod)?.process;
        if found.is_some_and(|found| found.id() == process.id() && outcome_says(&found, &[BEGAN])) {
            return Ok(Begun::Runs);
        }
        if process.ends_within(STEP)? {
            let runs = history::read(pod)?;
            return Ok(Begun::Ended(runs.get(before..).and_then(<[Run]>::last).copied()));
        }
    }
}

/// Waits until an app of a running pod has begun; without `app`, the pod's only one. A pod runs as soon as its apps may start, and
/// its systemd starts them some milliseconds later.
///
/// It also returns if the app has ended, if the pod doesn't run, or after ten seconds. The caller then looks for the app and
/// reports that it doesn't run.
///
/// # Errors
/// If the pod has no such app, or several that could be meant, if `interrupt` has a signal, or the system fails.
pub fn wait_for_app(pod: &Pod, app: Option<&str>, interrupt: &Interrupt) -> Result<()> {
    let app = app_called(pod, app)?;
    let until = Instant::now() + PATIENCE;
    loop {
        interrupt.check()?;
        let seen = look(pod)?;
        let Some(process) = seen.process.filter(|_| seen.state == State::Running) else { return Ok(()) };
        if Cgroup::of(pod.id(), &process)?.map_or(Ok(None), |cgroup| begun(&cgroup, &app))?.is_some() {
            return Ok(());
        }
        let has_ended = pod.contents()?.apps.iter().any(|one| one.name == app && one.status.is_some());
        if has_ended || Instant::now() > until || process.ends_within(STEP)? {
            return Ok(());
        }
    }
}
