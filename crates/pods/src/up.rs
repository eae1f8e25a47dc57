// SPDX-License-Identifier: Apache-2.0
//! Waits for the beginning of a pod's run: until its apps may have started, or until the run has ended.

use std::time::Duration;

use anyhow::Result;
use sys::Interrupt;

use crate::directory::Pod;
use crate::history::{self, Run};
use crate::process::Process;
use crate::state::{look, outcome_says};

/// How often the pod is looked at.
const STEP: Duration = Duration::from_millis(5);
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
