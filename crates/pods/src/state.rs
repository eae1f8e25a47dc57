// SPDX-License-Identifier: Apache-2.0
//! States: what a pod is in at this moment, as the kernel's locks and the pod's own outcome say.
//!
//! | state | the pod's directory |
//! |---|---|
//! | preparing | is in `staging/`, and locked |
//! | prepared | is in `containers/`, not locked, and was never started |
//! | running | is locked by the pod's process, which has not been asked to stop |
//! | stopping | is locked by the pod's process, which was asked to stop or has its code, or by the reaper alone |
//! | exited | is not locked, and was started |

use std::fmt;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};
use pod::id::PodId;
use pod::layout;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use store::DataDir;
use sys::open_beneath;

use crate::directory::{Pod, entries};
use crate::process::{Holder, Process, holder};

/// How often to look again at a pod whose lock changes hands meanwhile, one `STEP` apart.
const ATTEMPTS: usize = 200;
const STEP: Duration = Duration::from_millis(1);
/// How often a pod's process is looked for. `/proc/locks` is read in parts, and locks that come and go meanwhile may hide
/// others.
const SEARCHES: usize = 5;
/// The outcome as `/init` sees it (`stage1-init/src/exchange/outcome.rs`), and the file in it that marks the pod's end.
const OUTCOME: &str = "root/outcome";
const ENDS: [&str; 3] = ["asked", "code", "failure"];

/// A pod's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It is being laid out.
    Preparing,
    /// It has never been started.
    Prepared,
    /// It runs.
    Running,
    /// It was asked to stop, or what is left of it is being cleared.
    Stopping,
    /// It has run, and nothing of it does any more.
    Exited,
}

impl State {
    /// All states, in the order of a pod's life.
    pub const ALL: [Self; 5] = [Self::Preparing, Self::Prepared, Self::Running, Self::Stopping, Self::Exited];

    /// Returns the state's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Prepared => "prepared",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Exited => "exited",
        }
    }

    /// Tells whether any process of the pod may be there.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Running | Self::Stopping)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A pod's state, and its process if that can be seen.
#[derive(Debug)]
pub struct Seen {
    /// The state.
    pub state: State,
    /// The pod's process; `None` if there is none, or if it is of another process namespace.
    pub process: Option<Process>,
}

impl Seen {
    fn without_process(state: State) -> Self {
        Self { state, process: None }
    }
}

/// Looks at a pod.
pub fn look(pod: &Pod) -> Result<Seen> {
    let about = || format!("cannot look at pod {}", pod.id());
    for attempt in 1..ATTEMPTS {
        if let Some(seen) = look_once(pod, attempt >= SEARCHES).with_context(about)? {
            return Ok(seen);
        }
        sleep(STEP);
    }
    // A command has it locked all the time. The pod isn't running then.
    at_rest(pod).with_context(about)
}

/// Looks at a pod; returns `None` if a command works on its directory at the moment, or if its process should be seen and
/// is not, unless it `may_be_elsewhere`: in another process namespace.
fn look_once(pod: &Pod, may_be_elsewhere: bool) -> Result<Option<Seen>> {
    if !is_locked(&pod.directory)? {
        return at_rest(pod).map(Some);
    }
    Ok(match holder(&pod.directory)? {
        Holder::Init(process) => {
            let state = if is_ending(&process) { State::Stopping } else { State::Running };
            Some(Seen { state, process: Some(process) })
        }
        // It may have been released in between.
        Holder::Unseen if is_locked(&pod.directory)? => {
            let stage1 = open_beneath(&pod.directory, layout::STAGE1, OFlags::RDONLY | OFlags::DIRECTORY);
            let has_process = stage1.is_ok_and(|stage1| is_locked(&stage1).unwrap_or(false));
            if has_process && !may_be_elsewhere {
                return Ok(None);
            }
            let state = if has_process { State::Running } else { State::Stopping };
            Some(Seen::without_process(state))
        }
        Holder::Command | Holder::Unseen => None,
    })
}

/// Returns the state of a pod that nothing runs of.
fn at_rest(pod: &Pod) -> Result<Seen> {
    let started = pod.has(layout::HISTORY)? || pod.has(&format!("{}/{}", layout::STAGE1, layout::OWN))?;
    Ok(Seen::without_process(if started { State::Exited } else { State::Prepared }))
}

/// Tells whether another process has a directory locked exclusively.
///
/// The kernel answers that by granting a shared lock, which is released at once. `/init` and commands that need the
/// exclusive lock in that moment try again.
pub(crate) fn is_locked(directory: &OwnedFd) -> Result<bool> {
    match flock(directory, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => Ok(true),
        locked => {
            locked?;
            flock(directory, FlockOperation::Unlock)?;
            Ok(false)
        }
    }
}

/// Tells whether the pod's outcome says that the pod is ending.
///
/// The outcome is in `/init`'s private root, which no app can reach. Until `/init` has entered that root, it can't have
/// been asked.
fn is_ending(process: &Process) -> bool {
    outcome_says(process, &ENDS)
}

/// Tells whether one of these files is in the pod's outcome.
pub(crate) fn outcome_says(process: &Process, names: &[&str]) -> bool {
    let place = |path: &str| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    let root = format!("/proc/{}/root", process.id());
    if place(&root).is_none() || place(&root) == place("/") {
        return false;
    }
    names.iter().any(|name| fs::exists(format!("/proc/{}/{OUTCOME}/{name}", process.id())).unwrap_or(false))
}

/// Lists the pods that are being laid out.
///
/// Trees are built in the same place, but have no stage1. A directory that is being removed has a name of another
/// version ([`store::staging::remove_pod`]).
pub fn preparing(data_dir: &DataDir) -> Result<Vec<PodId>> {
    let mut all = Vec::new();
    for name in entries(&data_dir.staging)? {
        let Some(id) = name.parse::<PodId>().ok().filter(|id| !id.is_for_removal()) else { continue };
        // Its builder has locked it before making anything in it, so looking at the lock does no harm.
        let open = |path: &str| open_beneath(&data_dir.staging, path, OFlags::RDONLY | OFlags::DIRECTORY);
        if open(&format!("{name}/{}", layout::STAGE1)).is_ok()
            && let Ok(directory) = open(&name)
            && is_locked(&directory)?
        {
            all.push(id);
        }
    }
    all.sort_unstable();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn to_look_at_a_lock_leaves_it_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let open = || OwnedFd::from(File::open(&directory).unwrap());
        let (ours, other) = (open(), open());
        assert!(!is_locked(&ours).unwrap());
        flock(&other, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert!(is_locked(&ours).unwrap());
        drop(other);
        assert!(!is_locked(&ours).unwrap());
    }
}
