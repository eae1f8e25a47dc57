// SPDX-License-Identifier: Apache-2.0
//! Stops pods: in order by SIGTERM to the pod's process, by force by SIGKILL.
//!
//! `/init` takes any number of requests at any moment and stops the pod once. When it is killed, the pod's reaper ends
//! everything in the pod's cgroup. A reaper may have been killed itself, so a pod that is stopped by force has its
//! cgroup ended by this process, too.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use sys::Interrupt;

use crate::cgroup::Cgroup;
use crate::directory::Pod;
use crate::history::{self, Moment};
use crate::process::Process;
use crate::state::{Seen, State, look};
use crate::wait::is_over_of;

/// How long a killed pod may take to be cleared.
const REAP: Duration = Duration::from_secs(10);
/// How long a reaper may take to notice the end of its pod's process, and how often to look.
const PATIENCE: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(2);

/// How a pod is to be stopped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stop {
    /// After this time the pod is stopped by force; `None` means that it has the time that its apps have.
    pub timeout: Option<Duration>,
    /// Whether it is stopped by force at once.
    pub force: bool,
}

/// Stops a pod and waits until nothing of it is left. A pod that doesn't run is left as it is.
///
/// # Errors
/// If the pod's process can't be reached, if `interrupt` has a signal (the pod goes on stopping then), or the system
/// fails.
pub fn stop(pod: &Pod, how: Stop, interrupt: &Interrupt) -> Result<()> {
    let about = || format!("cannot stop pod {}", pod.id());
    let seen = look_at_process(pod)?;
    if !seen.state.is_alive() {
        return Ok(());
    }
    // Only this run is stopped. Another one may begin as soon as it is over.
    let process = reached(pod, &seen)?;
    if !how.force {
        if let Some(process) = process {
            process.signal(Signal::TERM).with_context(about)?;
            // A pod that its caller's shell has stopped takes the request once it goes on.
            process.signal(Signal::CONT).with_context(about)?;
        }
        let until = how.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        if is_over_of(pod, process, until, interrupt).with_context(about)? {
            return Ok(());
        }
    }
    match process {
        Some(process) if !process.has_ended()? => kill(pod, process, interrupt).with_context(about)?,
        ended if is_cleared(pod, ended, interrupt).with_context(about)? => {}
        _ => bail!(
            "pod {} is not cleared after {} s: expected its reaper to do that",
            pod.id(),
            REAP.as_secs()
        ),
    }
    Ok(())
}

/// Tells whether a run whose process is dying, or has ended, is cleared in time.
fn is_cleared(pod: &Pod, process: Option<&Process>, interrupt: &Interrupt) -> Result<bool> {
    is_over_of(pod, process, Instant::now().checked_add(REAP), interrupt)
}

/// Sends a signal to the pod's process.
///
/// # Errors
/// If the pod doesn't run, or its process can't be reached.
pub fn signal(pod: &Pod, signal: Signal) -> Result<()> {
    let seen = look_at_process(pod)?;
    let sent = match reached(pod, &seen)? {
        Some(process) => process.signal(signal)?,
        None => false,
    };
    if sent { Ok(()) } else { Err(not_running(pod, seen.state)) }
}

/// Returns the error for a pod that does not run, but has to.
pub(crate) fn not_running(pod: &Pod, state: State) -> anyhow::Error {
    match state {
        State::Running => unseen(pod),
        state => anyhow!("pod {} is {state}: expected it to run", pod.id()),
    }
}

fn unseen(pod: &Pod) -> anyhow::Error {
    let unseen = anyhow!("the process of pod {} can't be seen", pod.id());
    report::hinted(unseen, "expected it to be in this process namespace")
}

/// Looks at a pod until its process can be seen, or until nothing of the pod is left. The process can't be seen while it takes
/// the pod's lock, and once it has ended. In the first case it has to be asked to stop: waiting alone would last as long as
/// the pod runs.
fn look_at_process(pod: &Pod) -> Result<Seen> {
    let until = Instant::now() + PATIENCE;
    loop {
        let seen = look(pod)?;
        if !seen.state.is_alive() || seen.process.is_some() || Instant::now() > until {
            return Ok(seen);
        }
        sleep(STEP);
    }
}

/// Returns the pod's process; `None` if it has ended.
fn reached<'s>(pod: &Pod, seen: &'s Seen) -> Result<Option<&'s Process>> {
    if seen.process.is_none() && seen.state == State::Running {
        return Err(unseen(pod));
    }
    Ok(seen.process.as_ref())
}

/// Kills the pod's process and everything in the pod's cgroup, and waits until it is cleared.
fn kill(pod: &Pod, process: &Process, interrupt: &Interrupt) -> Result<()> {
    // Opened first: afterwards, nothing leads there.
    let cgroup = Cgroup::of(pod.id(), process);
    process.signal(Signal::KILL)?;
    let is_cleared = is_cleared(pod, Some(process), interrupt)?;
    if let Some(cgroup) = cgroup? {
        cgroup.kill()?;
    }
    if !is_cleared {
        bail!("it is not cleared {} s after it was killed: expected its reaper to do that", REAP.as_secs());
    }
    note_end(pod)
}

/// Writes down that the pod's process was killed, if the reaper has not: it may have been killed itself.
fn note_end(pod: &Pod) -> Result<()> {
    let is_noted = || Ok::<_, anyhow::Error>(history::read(pod)?.last().is_none_or(|run| run.end.is_some()));
    // If the lock can't be had, the pod is being started again.
    if is_noted()? || flock(&pod.directory, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    let noted = if is_noted()? { Ok(()) } else { history::killed(pod, Moment::now()) };
    flock(&pod.directory, FlockOperation::Unlock)?;
    noted
}
