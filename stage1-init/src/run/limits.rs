// SPDX-License-Identifier: Apache-2.0
//! Checks, before a pod starts, whether the host's limits leave room for it. Where one doesn't, the pod would end in the middle of its
//! start, without a message or with one that doesn't name the limit.
//!
//! - Inotify instances (`fs.inotify.max_user_instances`). A user has few, 128 by default. systemd needs one for its cgroups;
//!   without it, systemd ends with 255 before it can report why. It takes two more while it starts and keeps one of these,
//!   but works without them (measured with 252). The only way to find out whether one is left is to take it.
//! - Processes and threads (`kernel.threads-max`, `kernel.pid_max`, `pids.max` of the caller's cgroup), and mounts of a namespace
//!   (`fs.mount-max`), which begins with a copy of the caller's.
//!
//! Keys (`kernel.keys.maxkeys`) are no limit: a pod's root has its own number of them, and systemd goes on without a keyring.
//! Each namespace's limit is named where it is made.
//!
//! Two starts may find the same room, so the check is repeated when a pod ends without an exit code.

use std::fs;

use anyhow::{Result, bail, ensure};
use rustix::fs::inotify::{CreateFlags, init};
use rustix::io::{Errno, dup};

const INOTIFY: &str = "fs.inotify.max_user_instances";
/// The number of instances that a pod takes while it starts.
const INSTANCES: u64 = 3;
/// systemd's exit code when it can't go on (exit-status.h, `EXIT_EXCEPTION`).
const EXCEPTION: i32 = 255;
/// The most processes of a pod while it starts, without its apps'.
const PROCESSES: u64 = 8;
/// The least number of processes of an app, with its status writer.
const OF_APP: u64 = 2;
/// The most mounts of a namespace while a pod starts, beside the caller's and the apps'.
const MOUNTS: u64 = 130;
/// The number of mounts that an app adds.
const MOUNTS_OF_APP: u64 = 8;

/// The numbers that decide whether there is room for a pod.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) apps: usize,
    /// The caller's mounts.
    pub(crate) mounts: usize,
    /// The cgroup that the pod's is to be below: the number of processes there, and their limit.
    pub(crate) processes: Option<(u64, u64)>,
}

/// Fails if no room is left, and says what there is too little of, and the way out.
pub(crate) fn check(wanted: Wanted) -> Result<()> {
    check_inotify()?;
    let Wanted { apps, mounts, processes } = wanted;
    let apps = u64::try_from(apps).unwrap_or(u64::MAX);
    let more = OF_APP.saturating_mul(apps).saturating_add(PROCESSES);
    if let Some((there, limit)) = processes {
        let limited = "raise pids.max of the caller's cgroup";
        ensure!(there.saturating_add(more) <= limit, "{}", few("processes", there, limit, more, limited));
    }
    if let Some(there) = processes_of_host() {
        for sysctl in ["kernel.threads-max", "kernel.pid_max"] {
            room("processes and threads", sysctl, there, more)?;
        }
    }
    let more = MOUNTS_OF_APP.saturating_mul(apps).saturating_add(MOUNTS);
    room("mounts", "fs.mount-max", u64::try_from(mounts).unwrap_or(u64::MAX), more)
}

/// Fails if no inotify instance is left.
fn check_inotify() -> Result<()> {
    ensure!(
        is_left(),
        "no inotify instance is left for the pod, which takes {INSTANCES}: {}",
        more_instances()
    );
    Ok(())
}

/// Returns the way out where there are too few inotify instances.
fn more_instances() -> String {
    match value(INOTIFY) {
        Some(limit) => raise(INOTIFY, limit, limit.saturating_mul(2).max(INSTANCES)),
        None => format!("raise {INOTIFY}"),
    }
}

/// Explains the end of a pod that recorded no exit code, if a limit may be the cause.
///
/// `code` is the exit code of nspawn.
pub(crate) fn reason(code: Option<i32>) -> Option<String> {
    match check_inotify() {
        Err(error) => Some(error.to_string()),
        Ok(()) if code == Some(EXCEPTION) => {
            Some(format!("inotify instances may have run out: {}", more_instances()))
        }
        Ok(()) => None,
    }
}

fn is_left() -> bool {
    match init(CreateFlags::CLOEXEC) {
        // The kernel reports the same error if this process has no descriptor left.
        Err(Errno::MFILE) => dup(std::io::stderr()).is_err(),
        _ => true,
    }
}

/// Fails if a sysctl allows less than there is and what comes. What can't be read isn't checked.
fn room(of: &str, sysctl: &str, there: u64, more: u64) -> Result<()> {
    match value(sysctl) {
        Some(limit) if there.saturating_add(more) > limit => {
            let way_out = raise(sysctl, limit, there.saturating_add(more).saturating_mul(2));
            bail!("{}", few(of, there, limit, more, &way_out))
        }
        _ => Ok(()),
    }
}

fn few(of: &str, there: u64, limit: u64, more: u64, way_out: &str) -> String {
    format!("the host has {there} {of} and may have {limit}, too few for a pod that takes {more}: {way_out}")
}

fn raise(sysctl: &str, limit: u64, to: u64) -> String {
    format!("{sysctl} is {limit}, so raise it, as with sysctl -w {sysctl}={to}")
}

/// Reads a sysctl that is a number.
fn value(sysctl: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/sys/{}", sysctl.replace('.', "/"))).ok()?;
    text.trim().parse().ok()
}

/// Returns how many processes and threads the host has (proc_loadavg(5)).
fn processes_of_host() -> Option<u64> {
    threads(&fs::read_to_string("/proc/loadavg").ok()?)
}

fn threads(load: &str) -> Option<u64> {
    load.split(' ').nth(3)?.split_once('/')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_out_is_a_command() {
        assert_eq!(
            raise(INOTIFY, 128, 256),
            "fs.inotify.max_user_instances is 128, so raise it, as with sysctl -w fs.inotify.max_user_instances=256"
        );
        let said = room("mounts", "fs.mount-max", u64::MAX - 7, 8).unwrap_err().to_string();
        assert!(said.contains("fs.mount-max is ") && said.starts_with("the host has "), "{said}");
    }

    #[test]
    fn limits_that_leave_room_are_none() {
        let wanted = Wanted { apps: 1, mounts: 100, processes: Some((10, 20)) };
        check(wanted).unwrap();
        let said = check(Wanted { processes: Some((11, 20)), ..wanted }).unwrap_err().to_string();
        let expected = "the host has 11 processes and may have 20, too few for a pod that takes 10: \
                        raise pids.max of the caller's cgroup";
        assert_eq!(said, expected);
        assert!(check(Wanted { mounts: usize::MAX, ..wanted }).is_err());
        assert!(check(Wanted { apps: usize::MAX, ..wanted }).is_err());
    }

    #[test]
    fn all_threads_are_counted() {
        assert_eq!(threads("0.50 0.63 0.70 2/389 31416\n"), Some(389));
        assert_eq!(threads("0.50"), None);
    }
}
