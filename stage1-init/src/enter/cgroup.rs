// SPDX-License-Identifier: Apache-2.0
//! The pod's own cgroup, below the caller's in the unified hierarchy ([`sys::cgroups`]).
//!
//! A cgroup stays behind if its reaper was killed. It is removed by the reaper of the next start, and by `installer
//! gc`. Both remove cgroups with a pod's name that have no processes and are not locked (flock(2)). `/init` locks its
//! pod's cgroup right after making it, and its reaper keeps that lock until it ends. Users other than root can lock a
//! cgroup too, so nothing waits long for such a lock.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use pod::id::PodId;
use pod::layout;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::Pid;
use sys::locks::identity;
use sys::mounts::{Depth, MountAttrFlags, Submounts, clone_tree, set_attributes};
use sys::process::{ForkResult, fork, fork_into};
use sys::{cgroups, namespaces};

use crate::failure::namespace;
use crate::load::host::Controllers;

/// The file that lists the controllers enabled for the cgroups below.
const SUBTREE: &str = "cgroup.subtree_control";

/// How often to retry a lock that a sweep holds, one `STEP` apart. A sweep takes some microseconds.
const ATTEMPTS: usize = 100;
const STEP: Duration = Duration::from_millis(1);
/// How long to wait until all is frozen. A process that waits for a disk may take longer, but reads no terminal.
const PATIENCE: Duration = Duration::from_millis(500);

/// A pod's cgroup, which may or may not exist.
#[derive(Debug)]
pub(crate) struct Cgroup {
    parent: cgroups::Cgroup,
    name: String,
    /// The cgroup with its lock, once this process has made it. The lock shows that no earlier pod left it behind.
    lock: Option<cgroups::Cgroup>,
    callers: Option<Callers>,
    /// How many mounts the caller has.
    mounts: usize,
}

/// The caller's view of the hierarchy, for nspawn.
///
/// nspawn reads files of the hierarchy's root, which it finds by the cgroup of process 1. That is a systemd on most hosts,
/// with a cgroup of its own, which this process's cgroup namespace does not have (cgroup_namespaces(7)).
#[derive(Debug)]
struct Callers {
    namespace: OwnedFd,
    hierarchy: OwnedFd,
}

impl Callers {
    /// Takes the caller's view, if it has the hierarchy mounted as a whole by this mount table.
    ///
    /// A new mount in the first namespace would set options for the whole host, so it is a copy of what is mounted.
    fn take(table: &str) -> Result<Option<Self>> {
        let Some(hierarchy) = hierarchy(table) else { return Ok(None) };
        let safe = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let copied = clone_tree(hierarchy, Submounts::No);
        let private = copied.and_then(|tree| set_attributes(&tree, safe, Depth::One).map(|()| tree));
        let Ok(hierarchy) = private else { return Ok(None) };
        let namespace =
            File::open("/proc/self/ns/cgroup").context("cannot open its cgroup namespace")?.into();
        Ok(Some(Self { namespace, hierarchy }))
    }
}

/// Returns where a mount table has the root of cgroup v2 (proc_pid_mountinfo(5)). A name with escapes is none of these.
fn hierarchy(table: &str) -> Option<&str> {
    table.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut words = mount.split(' ').skip(3);
        let is_root = words.next() == Some("/") && kind.starts_with("cgroup2 ");
        words.next().filter(|path| is_root && !path.contains('\\'))
    })
}

/// Tells whether the list of a process's cgroups shows that it is not below the root of this process's cgroup namespace.
fn is_outside(cgroups: &str) -> bool {
    cgroups.lines().any(|line| line.starts_with("0::/.."))
}

impl Cgroup {
    /// Names the cgroup of the pod `id`, below the cgroup of this process.
    ///
    /// Moves this process into a cgroup namespace of its own.
    pub(crate) fn below_own(id: PodId) -> Result<Self> {
        let table = fs::read_to_string("/proc/self/mountinfo").context("cannot read the mount table")?;
        let callers = Callers::take(&table)?;
        namespace(cgroups::isolate(), "cgroup", "user.max_cgroup_namespaces")?;
        let parent = cgroups::Cgroup::of_this_process().context("cannot reach cgroup v2")?;
        let first = fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
        let callers = callers.filter(|_| is_outside(&first));
        let mounts = table.lines().count();
        Ok(Self { parent, name: layout::cgroup(id), lock: None, callers, mounts })
    }

    /// Returns how many mounts the caller has.
    pub(crate) fn callers_mounts(&self) -> usize {
        self.mounts
    }

    /// Returns how many processes and threads the caller's cgroup has and may have; `None` if nothing limits them there.
    pub(crate) fn callers_processes(&self) -> Option<(u64, u64)> {
        let read = |file| -> Option<u64> { self.parent.read(file).ok()?.trim().parse().ok() };
        let limit = read("pids.max")?;
        Some((read("pids.current")?, limit))
    }

    /// Returns the hierarchy for nspawn, if it needs another than this process's.
    pub(crate) fn hierarchy(&self) -> Option<&OwnedFd> {
        self.callers.as_ref().map(|callers| &callers.hierarchy)
    }

    /// Moves this process, which becomes nspawn, into the cgroup namespace that its hierarchy is of.
    pub(crate) fn enter_namespace(&self) -> Result<()> {
        let Some(callers) = &self.callers else { return Ok(()) };
        namespaces::enter_cgroups(&callers.namespace).context("cannot enter the caller's cgroup namespace")
    }

    /// Returns the controllers that this process's cgroup could enable for the cgroups below it.
    pub(crate) fn available(&self) -> Result<Controllers> {
        self.controllers("cgroup.controllers")
    }

    /// Enables the wanted controllers for the cgroups below this process's own, and returns those enabled afterwards.
    ///
    /// A cgroup with processes in it can't enable any, unless it is the root (admin-guide/cgroup-v2, "No Internal
    /// Process Constraint").
    pub(crate) fn delegate(&self, wanted: Controllers) -> Result<Controllers> {
        let each =
            [(wanted.cpu, "+cpu"), (wanted.memory, "+memory"), (wanted.pids, "+pids"), (wanted.io, "+io")];
        for (wanted, name) in each {
            if wanted {
                // A failure shows in the controllers that are read below.
                let _ = self.parent.write(SUBTREE, name);
            }
        }
        self.controllers(SUBTREE)
    }

    fn controllers(&self, file: &str) -> Result<Controllers> {
        let names = self.parent.read(file).with_context(|| format!("cannot read {file}"))?;
        let has = |name| names.split_whitespace().any(|found| found == name);
        Ok(Controllers { cpu: has("cpu"), memory: has("memory"), pids: has("pids"), io: has("io") })
    }

    /// Makes and locks the cgroup, and sets its limits (file and value).
    ///
    /// An earlier cgroup of the same name is removed first.
    pub(crate) fn make(mut self, limits: &[(&str, String)]) -> Result<Unreaped> {
        self.remove().with_context(|| format!("cannot remove the old cgroup {}", self.name))?;
        let cgroup = loop {
            self.parent.make(&self.name).with_context(|| format!("cannot make cgroup {}", self.name))?;
            // A sweep may remove it again before it is locked.
            if let Some(cgroup) = self.lock().context("cannot lock the pod's cgroup")? {
                break cgroup;
            }
        };
        self.lock = Some(cgroup);
        let made = Unreaped(Some(self));
        for (file, value) in limits {
            let set = made.cgroup().own().and_then(|own| Ok(own.write(file, value)?));
            set.with_context(|| format!("cannot set {file} of the pod to {value}"))?;
        }
        Ok(made)
    }

    /// Opens and locks the cgroup; returns `None` if it has been removed.
    ///
    /// If another process keeps an exclusive lock, the cgroup is returned without a lock of its own. No sweep can lock
    /// it then either.
    fn lock(&self) -> Result<Option<cgroups::Cgroup>> {
        let Some(cgroup) = self.parent.child(&self.name)? else { return Ok(None) };
        for _ in 0..ATTEMPTS {
            match flock(&cgroup, FlockOperation::NonBlockingLockShared) {
                Err(Errno::WOULDBLOCK) => sleep(STEP),
                locked => {
                    locked?;
                    break;
                }
            }
        }
        let Some(again) = self.parent.child(&self.name)? else { return Ok(None) };
        Ok((identity(&again)? == identity(&cgroup)?).then_some(cgroup))
    }

    /// Opens the cgroup.
    fn own(&self) -> Result<cgroups::Cgroup> {
        self.parent.child(&self.name)?.with_context(|| format!("cgroup {} is gone", self.name))
    }

    /// Forks this process, with the child in the cgroup; tells whether it is: if not, the child has to enter it.
    pub(crate) fn fork(&self) -> Result<(ForkResult, bool)> {
        match fork_into(self.own()?) {
            Ok(forked) => Ok((forked, true)),
            // A filter around this process may not allow it. Whatever else is wrong shows when the cgroup is entered.
            Err(_) => Ok((fork().context("cannot fork")?, false)),
        }
    }

    /// Keeps moves of processes between cgroups, also those by other processes, from waiting in the next milliseconds.
    ///
    /// A move waits until no processor can be making a process by the quick way, 6 ms and more, unless another move was just
    /// before it (the kernel's kernel/rcu/sync.c). So this process, which is not needed meanwhile, waits for that: it moves to
    /// where it is. It doesn't matter to the pod if it can't.
    pub(crate) fn hasten_moves(&self) {
        let _ = self.parent.write("cgroup.procs", "0");
    }

    /// Moves this process into the cgroup.
    pub(crate) fn enter(&self) -> Result<()> {
        let entered = self.own().and_then(|own| Ok(own.write("cgroup.procs", "0")?));
        entered.with_context(|| format!("cannot enter cgroup {}", self.name))
    }

    /// Freezes all processes, which interrupts what they wait in, such as a read.
    pub(crate) fn freeze(&self) -> Result<()> {
        Ok(self.own()?.freeze(PATIENCE)?)
    }

    /// Lets the processes continue.
    pub(crate) fn thaw(&self) -> Result<()> {
        Ok(self.own()?.thaw()?)
    }

    /// Lists the processes, by their ids in this process's namespace. Any of them may have ended by then.
    pub(crate) fn processes(&self) -> Result<Vec<Pid>> {
        self.own()?.processes().context("cannot list the pod's processes")
    }

    /// Ends every process in the cgroup, waits for that, and removes it and all cgroups below it.
    pub(crate) fn remove(&self) -> Result<()> {
        let removed = self.end_and_remove();
        // A sweep may have removed it first.
        if matches!(self.parent.child(&self.name), Ok(None)) { Ok(()) } else { removed }
    }

    fn end_and_remove(&self) -> Result<()> {
        let Some(cgroup) = self.parent.child(&self.name)? else { return Ok(()) };
        cgroup.end_all().context("cannot end its processes")?;
        Ok(self.parent.remove(&self.name)?)
    }

    /// Removes the cgroups that other pods have left beside this one. It doesn't matter to this pod if one stays.
    pub(crate) fn sweep(&self) {
        let _ = self.parent.sweep(|name| name != self.name && layout::is_cgroup(name));
    }

    /// Lists the descriptors that must stay open for [`Cgroup::remove`], for [`Cgroup::sweep`] and for the lock.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.parent].into_iter().chain(&self.lock).map(AsFd::as_fd)
    }
}

/// A cgroup that has no reaper yet: it is removed on drop.
#[derive(Debug)]
pub(crate) struct Unreaped(Option<Cgroup>);

impl Unreaped {
    /// Returns the cgroup, for a reaper to be started.
    pub(crate) fn cgroup(&self) -> &Cgroup {
        self.0.as_ref().expect("it is taken by `reaped` alone, which ends this")
    }

    /// Returns the cgroup once a reaper is there to remove it.
    pub(crate) fn reaped(mut self) -> Cgroup {
        self.0.take().expect("it is taken here alone")
    }
}

impl Drop for Unreaped {
    fn drop(&mut self) {
        if let Some(cgroup) = &self.0 {
            let _ = cgroup.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_the_hierarchy_is_found_where_it_is_mounted() {
        let line = |root: &str, at: &str, kind: &str| format!("1 2 0:3 {root} {at} rw - {kind} x rw\n");
        let table = line("/", "/sys", "sysfs") + &line("/a", "/b", "cgroup2") + &line("/", "/c", "cgroup");
        assert_eq!(hierarchy(&table), None);
        assert_eq!(hierarchy(&(table + &line("/", "/sys/fs/cgroup", "cgroup2"))), Some("/sys/fs/cgroup"));
        assert_eq!(hierarchy(&line("/", "/a\\040b", "cgroup2")), None);
    }

    #[test]
    fn process_1_may_be_outside() {
        assert!(is_outside("1:cpu:/\n0::/../../init.scope\n"));
        assert!(!is_outside("1:cpu:/..\n0::/\n"));
    }
}
