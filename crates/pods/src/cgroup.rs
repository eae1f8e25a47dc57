// SPDX-License-Identifier: Apache-2.0
//! A pod's cgroup, reached through the pod's process.
//!
//! `/init` makes it below the cgroup that it was started in, which may be anywhere in the hierarchy, and is in a cgroup
//! namespace whose root that is (`stage1-init/src/enter/cgroup.rs`). So a thread enters that namespace and mounts the
//! hierarchy there, attached nowhere: neither what the host has mounted nor its mount options matter.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use pod::id::PodId;
use pod::layout;
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};
use sys::cgroups;

use crate::process::Process;

/// A pod's cgroup.
#[derive(Debug)]
pub(crate) struct Cgroup(cgroups::Cgroup);

impl Cgroup {
    /// Opens the cgroup of the pod `id`; returns `None` if the pod has none, or none yet.
    pub(crate) fn of(id: PodId, process: &Process) -> Result<Option<Self>> {
        let Some(parent) = parent(process).context("cannot reach the pod's cgroup")? else { return Ok(None) };
        let found = parent.child(&layout::cgroup(id)).context("cannot open the pod's cgroup")?;
        Ok(found.map(Self))
    }

    /// Ends every process in the cgroup. It is no error if the cgroup is gone.
    pub(crate) fn kill(&self) -> Result<()> {
        match self.0.write("cgroup.kill", "1") {
            Err(error) if is_gone(&error) => Ok(()),
            killed => killed.context("cannot write cgroup.kill"),
        }
    }

    /// Opens the cgroup `path` below this one.
    pub(crate) fn below(&self, path: &str) -> Result<cgroups::Cgroup> {
        let about = || format!("cannot open cgroup {path}");
        self.0.child(path).with_context(about)?.with_context(about)
    }

    /// Opens the cgroup `path` below this one, if it is there.
    pub(crate) fn find(&self, path: &str) -> Result<Option<cgroups::Cgroup>> {
        self.0.child(path).with_context(|| format!("cannot open cgroup {path}"))
    }

    /// Lists the processes of the cgroup `path` below this one, without those further below.
    pub(crate) fn processes(&self, path: &str) -> Result<Vec<Pid>> {
        let about = || format!("cannot read cgroup {path}");
        let Some(cgroup) = self.0.child(path).with_context(about)? else { return Ok(Vec::new()) };
        match cgroup.own_processes() {
            Err(error) if is_gone(&error) => Ok(Vec::new()),
            found => found.with_context(about),
        }
    }
}

/// Tells whether an error says that a cgroup was removed meanwhile.
fn is_gone(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NODEV))
}

/// Opens the cgroup that is the root of the process's cgroup namespace; `None` if that is this process's namespace.
fn parent(process: &Process) -> Result<Option<cgroups::Cgroup>> {
    let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/cgroup"));
    // A new mount in the first namespace would set options for the whole host.
    if namespace(&process.id().to_string()).ok() == namespace("self").ok() {
        return Ok(None);
    }
    let handle = process.handle();
    // In a thread of its own: this process stays where it is.
    let mounted = thread::scope(|scope| {
        let mount = thread::Builder::new().name("cgroup".into()).spawn_scoped(scope, || {
            move_into_thread_name_spaces(handle.as_fd(), ThreadNameSpaceType::CONTROL_GROUP)?;
            Ok(cgroups::Cgroup::of_this_process()?)
        });
        mount.map(|mount| mount.join().unwrap_or(Err(Errno::IO)))
    });
    match mounted? {
        // It has ended.
        Err(Errno::SRCH) => Ok(None),
        mounted => mounted.map(Some).map_err(|error| anyhow!(error)),
    }
}
