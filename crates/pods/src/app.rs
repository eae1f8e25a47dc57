// SPDX-License-Identifier: Apache-2.0
//! An app's first process, found in the cgroup of the app's unit.

use std::fs;

use anyhow::{Context as _, Result, anyhow};
use pod::name::AppName;
use report::Hint as _;
use rustix::process::{Pid, Signal};

use crate::cgroup::Cgroup;
use crate::directory::Pod;
use crate::process::Process;
use crate::state::look;
use crate::stop::not_running;

/// The cgroup of the pod's systemd, below the pod's.
const SYSTEMD: &str = "payload/init.scope";
/// The cgroup of the boot program, below the pod's.
const BOOT: &str = "payload";
/// The cgroup of the systemd's services, below the pod's.
const SERVICES: &str = "payload/system.slice";

/// Sends a signal to the first process of an app.
///
/// # Errors
/// If the pod has no such app, or it doesn't run.
pub fn signal(pod: &Pod, app: &str, signal: Signal) -> Result<()> {
    let apps = pod.contents().with_context(|| format!("pod {}", pod.id()))?.apps;
    let names: Vec<_> = apps.iter().map(|app| app.name.to_string()).collect();
    let Some(found) = apps.iter().find(|found| found.name.to_string() == app) else {
        return Err(anyhow!("pod {} has no app {}", pod.id(), pod::text::escape(app)))
            .hint(format!("its apps: {}", names.join(", ")));
    };
    let seen = look(pod)?;
    let process = seen.process.ok_or_else(|| not_running(pod, seen.state))?;
    let cgroup = Cgroup::of(pod.id(), &process)?;
    let first = cgroup.map_or(Ok(None), |cgroup| first(&cgroup, &found.name))?.map(|(first, _)| first);
    let sent = first.map_or(Ok(false), |first| first.signal(signal))?;
    if sent { Ok(()) } else { Err(anyhow!("app {} of pod {} does not run", found.name, pod.id())) }
}

/// Opens an app's first process: the oldest of those in its unit's cgroup that the pod's systemd is the parent of.
///
/// Processes that an app has left are systemd's children, too, but younger.
pub(crate) fn first(cgroup: &Cgroup, app: &AppName) -> Result<Option<(Process, String)>> {
    let systemds = cgroup.processes(SYSTEMD)?;
    for unit in units(app) {
        if let Some(process) = first_in(cgroup, &unit, &systemds)? {
            return Ok(Some((process, unit)));
        }
    }
    Ok(None)
}

/// Opens the first process of an app whose launcher is at work, or has become the app. Before, it is one of systemd's, without
/// the app's limits and its no-new-privileges. The launcher gives itself a mount namespace first.
pub(crate) fn begun(cgroup: &Cgroup, app: &AppName) -> Result<Option<(Process, String)>> {
    let mounts = |process: &Process| fs::read_link(format!("/proc/{}/ns/mnt", process.id())).ok();
    let Some(systemd) = systemd(cgroup)? else { return Ok(None) };
    let has_begun = |first: &Process| mounts(first).is_some_and(|own| Some(own) != mounts(&systemd));
    Ok(first(cgroup, app)?.filter(|(first, _)| has_begun(first)))
}

/// Returns where an app's unit may be: among the services, or, if the app is limited, in a slice of its own.
pub(crate) fn units(app: &AppName) -> [String; 2] {
    let service = format!("app-{app}.service");
    let slice = format!("app-{}.slice", app.as_str().replace('-', r"\x2d"));
    [format!("{SERVICES}/{service}"), format!("payload/app.slice/{slice}/{service}")]
}

/// Opens the pod's systemd.
pub(crate) fn systemd(cgroup: &Cgroup) -> Result<Option<Process>> {
    any_in(cgroup, SYSTEMD)
}

/// Opens a process that has the pod's namespaces: its systemd, or what becomes that.
pub(crate) fn in_pod(cgroup: &Cgroup) -> Result<Option<Process>> {
    match any_in(cgroup, SYSTEMD)? {
        None => any_in(cgroup, BOOT),
        found => Ok(found),
    }
}

fn any_in(cgroup: &Cgroup, path: &str) -> Result<Option<Process>> {
    for pid in cgroup.processes(path)? {
        let is_there = |pid| cgroup.processes(path).is_ok_and(|now| now.contains(&pid));
        if let Some(process) = Process::open(pid, is_there)? {
            return Ok(Some(process));
        }
    }
    Ok(None)
}

fn first_in(cgroup: &Cgroup, unit: &str, systemds: &[Pid]) -> Result<Option<Process>> {
    let candidates = cgroup.processes(unit)?;
    let children = candidates.into_iter().filter_map(|pid| Some((start(pid, systemds)?, pid)));
    let Some((begun, pid)) = children.min_by_key(|(begun, _)| *begun) else { return Ok(None) };
    // Once it is open, its number can't be another's.
    Process::open(pid, |pid| {
        let is_there = cgroup.processes(unit).is_ok_and(|now| now.contains(&pid));
        is_there && start(pid, systemds) == Some(begun)
    })
}

/// Returns when a process was started, in the kernel's ticks, if one of `parents` is its parent.
fn start(pid: Pid, parents: &[Pid]) -> Option<u64> {
    let (parent, begun) = parent_and_start(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    parents.iter().any(|of| of.as_raw_nonzero().get() == parent).then_some(begun)
}

/// Reads the fourth and the twenty-second field of proc_pid_stat(5). The second one, a name, may have any character.
pub(crate) fn parent_and_start(stat: &str) -> Option<(i32, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
    Some((fields.next()?.parse().ok()?, fields.nth(17)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_may_look_like_fields() {
        let stat = "15931 (a) S 1 (b) R 15887 15931 15931 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 189567 1 2 3";
        assert_eq!(parent_and_start(stat), Some((15887, 189_567)));
        assert_eq!(parent_and_start("1 (a) S 2"), None);
    }
}
