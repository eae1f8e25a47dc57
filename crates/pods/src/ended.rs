// SPDX-License-Identifier: Apache-2.0
//! Collects pods that ended some time ago.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use pod::PodName;
use pod::id::PodId;
use pod::layout;
use rustix::fs::{FlockOperation, flock};
use store::DataDir;
use store::staging::Mounted;
use sys::locks::try_lock_alone;

use crate::aliases;
use crate::app::parent_and_start;
use crate::cni;
use crate::directory::{Pod, ids, names};
use crate::history::{self, End, Moment};
use crate::remove::{remove, remove_locked};
use crate::state::{State, look};

/// The longest text about a process.
const PROCESS_MAX: u64 = 64;

/// A pod that ended long enough ago, and `Ok` if it was removed.
pub type Gone = (PodId, Result<(), Mounted>);

/// Removes every pod that ended at least `grace` ago. Removes pods that are to be removed at their end, too, also if
/// the process that was to run them was killed before. Returns the result for each.
///
/// If no process has recorded when a pod ended, this time is recorded, and the grace period begins now.
pub fn collect(data_dir: &DataDir, grace: Duration) -> Result<Vec<Gone>> {
    let mut gone = Vec::new();
    aliases::refresh(data_dir, None)?;
    for id in ids(data_dir)? {
        data_dir.interrupt.check()?;
        let Some(pod) = Pod::open(data_dir, id)? else { continue };
        disconnect(data_dir, &pod)?;
        if !is_due(data_dir, &pod, grace)? {
            continue;
        }
        // It is being started, or looked at: the next collection sees it.
        if !try_lock_alone(&pod.directory).with_context(|| format!("cannot lock pod {id}"))? {
            continue;
        }
        // It may have been started, and have ended, before it was locked.
        let is_due = grace.is_zero() || pod.is_removed_at_end()?;
        if is_due || ended(&pod)?.is_some_and(|ended| ended.age() >= grace) {
            let removed = remove_locked(data_dir, pod).with_context(|| format!("cannot remove pod {id}"))?;
            gone.push((id, removed));
        }
    }
    Ok(gone)
}

/// Removes the pod of this name, if it is to be removed at its end and has ended, or is about to.
///
/// # Errors
/// If that fails.
pub fn release(data_dir: &DataDir, name: &PodName) -> Result<()> {
    for (other, id) in names(data_dir)? {
        if other != *name {
            continue;
        }
        let Some(pod) = Pod::open(data_dir, id)? else { continue };
        // The command that ran it may have returned a moment before the last of the pod's processes ends.
        if pod.is_removed_at_end()? && matches!(look(&pod)?.state, State::Stopping | State::Exited) {
            // If something keeps it there, the error says that the name is taken.
            let _ = remove(data_dir, pod)?;
        }
    }
    Ok(())
}

/// Takes a pod from its network if its attendant was killed before it did that.
fn disconnect(data_dir: &DataDir, pod: &Pod) -> Result<()> {
    // The next pod may be in order.
    if pod.has(layout::CNI)?
        && let Err(error) = cni::release_left(pod)
    {
        data_dir.interrupt.check()?;
        data_dir.listener.warn(&format!("{error:#}"));
    }
    Ok(())
}

/// Tells whether a pod ended at least `grace` ago. Records that it was found ended, if nothing is recorded yet.
fn is_due(data_dir: &DataDir, pod: &Pod, grace: Duration) -> Result<bool> {
    match look(pod)?.state {
        State::Exited => {}
        // The process that was to run it at once has been killed.
        State::Prepared => return Ok(pod.is_removed_at_end()? && is_forsaken(pod)?),
        State::Preparing | State::Running | State::Stopping => return Ok(false),
    }
    // The process that was to remove it has been killed.
    if pod.is_removed_at_end()? {
        return Ok(true);
    }
    let Some(ended) = ended(pod)? else {
        if grace.is_zero() {
            return Ok(true);
        }
        // Only a start changes the history, and the lock prevents that.
        if flock(&pod.directory, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let noted = if ended(pod)?.is_none() { history::found(pod, Moment::now()) } else { Ok(()) };
            flock(&pod.directory, FlockOperation::Unlock)?;
            // On a full disk, removing other pods may still help.
            if let Err(error) = noted {
                data_dir.listener.warn(&format!("{error:#}"));
            }
        }
        return Ok(false);
    };
    Ok(ended.age() >= grace)
}

/// Returns this process in the words of [`layout::REMOVED_AT_END`]; `None` where /proc doesn't say when it was started.
pub fn this_process() -> Option<String> {
    let id = std::process::id();
    Some(format!("{id} {}\n", begun(&id.to_string())?))
}

/// Tells whether a process was to run a pod that is still prepared, and has ended.
///
/// A pod's state never depends on that. Where another process has the same id and start by now, the pod stays.
fn is_forsaken(pod: &Pod) -> Result<bool> {
    let Some((text, _)) = pod.read(layout::REMOVED_AT_END, PROCESS_MAX)? else { return Ok(false) };
    let text = String::from_utf8_lossy(&text);
    let Some((id, start)) = text.trim_end().split_once(' ') else { return Ok(false) };
    let is_id = id.bytes().all(|byte| byte.is_ascii_digit());
    Ok(is_id && begun(id).is_none_or(|begun| begun.to_string() != start))
}

/// Returns when a process was started, in the kernel's ticks; `None` if there is none.
fn begun(id: &str) -> Option<u64> {
    let (_, begun) = parent_and_start(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)?;
    Some(begun)
}

/// Returns when a pod that is not running ended, or was found ended.
fn ended(pod: &Pod) -> Result<Option<Moment>> {
    let runs = history::read(pod).with_context(|| format!("pod {}", pod.id()))?;
    Ok(runs.last().and_then(|run| match run.end? {
        End::At(when, _) | End::Found(when) => Some(when),
    }))
}
