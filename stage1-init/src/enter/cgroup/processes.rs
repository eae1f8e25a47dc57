// SPDX-License-Identifier: Apache-2.0
//! The processes of the pod's cgroup and of those below it.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::dir::{Dir, Type};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use super::{Cgroup, open_dir};

/// How deep cgroups are searched. systemd has its own three below the pod's, and apps' services one below that. A
/// program can nest more in its own, to any depth.
const DEPTH: usize = 16;

impl Cgroup {
    /// Lists the processes, by their ids in this process's namespace. Any of them may have ended by then.
    pub(crate) fn processes(&self) -> Result<Vec<Pid>> {
        let mut found = Vec::new();
        let own = open_dir(&self.parent, &*self.name).context("cannot open the pod's cgroup")?;
        list(&own, DEPTH, &mut found).context("cannot list the pod's processes")?;
        Ok(found)
    }
}

fn list(cgroup: &OwnedFd, depth: usize, found: &mut Vec<Pid>) -> Result<()> {
    let mut text = String::new();
    let processes = openat(cgroup, "cgroup.procs", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    // A cgroup of threads (admin-guide/cgroup-v2, "Threads") has no list; its processes are in the one above.
    if File::from(processes).read_to_string(&mut text).is_ok() {
        found.extend(text.lines().filter_map(|line| line.parse().ok().map(Pid::from_raw)));
    }
    if depth == 0 {
        return Ok(());
    }
    for entry in Dir::from_fd(open_dir(cgroup, ".")?)?.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() == Some(Type::Directory) && name != c"." && name != c".." {
            // It may be gone by now.
            if let Ok(below) = open_dir(cgroup, name) {
                let _ = list(&below, depth - 1, found);
            }
        }
    }
    Ok(())
}
