// SPDX-License-Identifier: Apache-2.0
//! Waits for a pod's end.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use sys::Interrupt;

use crate::directory::Pod;
use crate::history::{self, Run};
use crate::process::{Holder, Process, holder};
use crate::state::is_locked;

/// How often the waiting process checks whether it was interrupted.
const LOOK: Duration = Duration::from_millis(50);
/// How often the lock is tried. The reaper releases it some milliseconds after the pod's process has ended.
const STEP: Duration = Duration::from_millis(2);

/// The result of waiting for a pod.
#[derive(Debug)]
pub enum Waited {
    /// The pod has ended. Its last run is given, if there is a record of it.
    Ended(Option<Run>),
    /// The time was over first.
    TimeOver,
}

/// Waits until a pod's current run has ended and nothing of it is left.
///
/// Returns the run also if the pod was removed at its end. `time` limits the wait; `None` means as long as it takes. A
/// pod that doesn't run has ended.
///
/// # Errors
/// If `interrupt` has a signal, or the system fails.
pub fn wait(pod: &Pod, time: Option<Duration>, interrupt: &Interrupt) -> Result<Waited> {
    let until = time.and_then(|time| Instant::now().checked_add(time));
    // A pod with `--rm` is removed as soon as it has ended.
    let kept = history::open(pod)?;
    let going_on = history::read(pod)?.last().filter(|run| run.end.is_none()).copied();
    if !is_over(pod, until, interrupt)? {
        return Ok(Waited::TimeOver);
    }
    let mut runs = history::read(pod)?;
    if let Some(kept) = kept.filter(|_| !pod.is_there()) {
        runs = history::read_all(kept)?;
    }
    // It may have been started again by now.
    let same = going_on.and_then(|run| runs.iter().rfind(|other| other.started == run.started));
    Ok(Waited::Ended(same.or(runs.last()).copied()))
}

/// Waits until nothing of a pod's present run is left. Tells whether that came before `until`.
fn is_over(pod: &Pod, until: Option<Instant>, interrupt: &Interrupt) -> Result<bool> {
    is_over_of(pod, None, until, interrupt)
}

/// Waits until nothing is left of the run of this process, or of the present one if that is not known. Tells whether that
/// came before `until`.
pub(crate) fn is_over_of(
    pod: &Pod,
    process: Option<&Process>,
    until: Option<Instant>,
    interrupt: &Interrupt,
) -> Result<bool> {
    let mut found: Option<Process> = None;
    loop {
        interrupt.check()?;
        let left = until.map_or(LOOK, |until| until.saturating_duration_since(Instant::now()));
        let first = process.or(found.as_ref());
        match first {
            Some(process) if !process.has_ended()? => {
                if !process.ends_within(left.min(LOOK))? && left.is_zero() {
                    return Ok(false);
                }
                continue;
            }
            _ => {}
        }
        if !is_locked(&pod.directory)? {
            return Ok(true);
        }
        match (holder(&pod.directory)?, first) {
            // Another run has begun, so the one that was waited for is over.
            (Holder::Init(_), Some(_)) => return Ok(true),
            (Holder::Init(process), None) => found = Some(process),
            (Holder::Command | Holder::Unseen, _) if left.is_zero() => return Ok(false),
            (Holder::Command | Holder::Unseen, _) => sleep(STEP.min(left)),
        }
    }
}
