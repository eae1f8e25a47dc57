// SPDX-License-Identifier: Apache-2.0
//! Freezes the pod's cgroup (admin-guide/cgroup-v2, `cgroup.freeze`) and all below it. SIGKILL and `cgroup.kill` still
//! end frozen processes.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::fcntl::{OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;

use super::{Cgroup, open_dir, write};

const FREEZE: &str = "cgroup.freeze";
/// How long to wait until all is frozen. A process that waits for a disk may take longer, but reads no terminal.
const PATIENCE: Duration = Duration::from_millis(500);

impl Cgroup {
    /// Freezes all processes, which interrupts what they wait in, such as a read.
    pub(crate) fn freeze(&self) -> Result<()> {
        let cgroup = open_dir(&self.parent, &*self.name)?;
        write(&cgroup, FREEZE, "1")?;
        let until = Instant::now() + PATIENCE;
        loop {
            let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
            let mut events = File::from(openat(&cgroup, "cgroup.events", flags, Mode::empty())?);
            let mut text = String::new();
            events.read_to_string(&mut text)?;
            let left = until.saturating_duration_since(Instant::now());
            if text.lines().any(|line| line == "frozen 1") || left.is_zero() {
                return Ok(());
            }
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            // Whatever ended the wait, the file is read again to learn the state.
            let _ = poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], left);
        }
    }

    /// Lets the processes continue.
    pub(crate) fn thaw(&self) -> Result<()> {
        Ok(write(&open_dir(&self.parent, &*self.name)?, FREEZE, "0")?)
    }
}
