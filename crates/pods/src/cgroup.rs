// SPDX-License-Identifier: Apache-2.0
//! A pod's cgroup, reached through the pod's process.
//!
//! `/init` makes it below the cgroup that it was started in, which may be anywhere in the hierarchy, and is in a cgroup
//! namespace whose root that is (`stage1-init/src/enter/cgroup.rs`). So a thread enters that namespace and mounts the
//! hierarchy there, attached nowhere: neither what the host has mounted nor its mount options matter.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use pod::id::PodId;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use rustix::process::Pid;
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};
use sys::open_beneath;

use crate::process::Process;

/// A pod's cgroup.
#[derive(Debug)]
pub(crate) struct Cgroup(OwnedFd);

impl Cgroup {
    /// Opens the cgroup of the pod `id`; returns `None` if the pod has none, or none yet.
    pub(crate) fn of(id: PodId, process: &Process) -> Result<Option<Self>> {
        let Some(parent) = parent(process).context("cannot reach the pod's cgroup")? else { return Ok(None) };
        match open_beneath(&parent, format!("gantry-{id}"), OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(Errno::from)
        {
            Err(Errno::NOENT) => Ok(None),
            opened => opened.map(|cgroup| Some(Self(cgroup))).context("cannot open the pod's cgroup"),
        }
    }

    /// Ends every process in the cgroup. It is no error if the cgroup is gone.
    pub(crate) fn kill(&self) -> Result<()> {
        let kill = openat(&self.0, "cgroup.kill", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        let killed = match kill {
            Err(Errno::NOENT | Errno::NODEV) => return Ok(()),
            kill => File::from(kill.context("cannot open cgroup.kill")?).write_all(b"1"),
        };
        match killed {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NODEV) => Ok(()),
            killed => killed.context("cannot write cgroup.kill"),
        }
    }

    /// Lists the processes of the cgroup `path` below this one, without those further below.
    pub(crate) fn processes(&self, path: &str) -> Result<Vec<Pid>> {
        let procs = match open_beneath(&self.0, format!("{path}/cgroup.procs"), OFlags::RDONLY)
            .map_err(Errno::from)
        {
            Err(Errno::NOENT | Errno::NODEV) => return Ok(Vec::new()),
            procs => File::from(procs.with_context(|| format!("cannot open cgroup {path}"))?),
        };
        let mut text = String::new();
        { procs }.read_to_string(&mut text).with_context(|| format!("cannot read cgroup {path}"))?;
        Ok(text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect())
    }
}

/// Opens the cgroup that is the root of the process's cgroup namespace; `None` if that is this process's namespace.
fn parent(process: &Process) -> Result<Option<OwnedFd>> {
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
            let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_create(context.as_fd())?;
            let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
            openat(&mount, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        });
        mount.map(|mount| mount.join().unwrap_or(Err(Errno::IO)))
    });
    match mounted? {
        // It has ended.
        Err(Errno::SRCH) => Ok(None),
        mounted => mounted.map(Some).map_err(|error| anyhow!(error)),
    }
}
