// SPDX-License-Identifier: Apache-2.0
//! What is left to do once a pod has ended, by the one process of Gantry's that stays: remove the pod's cgroup.
//!
//! A cgroup can't remove itself, nspawn does not, and nspawn killed by SIGKILL leaves its pod running without it
//! (measured with 252). So `/init` forks this process off before it becomes nspawn. It sleeps until nspawn is gone,
//! ends what is left in the pod's cgroup and removes it. It does none of the pod's work, knows no signal but SIGKILL,
//! and holds nothing of the caller's: not its session, terminal, working directory or descriptors. It holds the
//! pod's lock, so a pod is locked exactly as long as anything of it is there, and likewise those of its trees.
//!
//! It first removes what reapers before it have left that were killed.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::exit;

use anyhow::{Context, Result, ensure};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, chdir, dup2_stderr, dup2_stdin, dup2_stdout, getpid, setsid};
use rustix::fs::FlockOperation;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::cgroup::Cgroup;
use crate::store::Store;
use crate::{lock, sys};

/// Starts the reaper of this process's pod. `lock` and the trees stay locked until the reaper ends.
pub(crate) fn start(cgroup: &Cgroup, lock: &OwnedFd, store: &Store) -> Result<()> {
    let own = Pid::from_raw(getpid().as_raw()).context("this process has no id")?;
    let pod = pidfd_open(own, PidfdFlags::empty()).context("cannot open this process")?;
    let alive = lock::alive(lock, FlockOperation::LockExclusive).context("cannot lock stage1")?;
    let null = nix::fcntl::open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
        .context("cannot open /dev/null")?;
    // Twice, so that it is no child of nspawn's.
    match sys::fork().context("cannot fork")? {
        ForkResult::Parent { child } => {
            let ended = waitpid(child, None).context("cannot wait for the reaper's parent")?;
            ensure!(ended == WaitStatus::Exited(child, 0), "cannot fork the reaper");
            Ok(())
        }
        ForkResult::Child => match sys::fork() {
            Ok(ForkResult::Child) => {
                // Without some of that it does its work all the same.
                let _ = detach(&null);
                exit(i32::from(reap(cgroup, lock, store, &pod, alive).is_err()))
            }
            Ok(ForkResult::Parent { .. }) => exit(0),
            Err(_) => exit(1),
        },
    }
}

/// Lets go of what is the caller's.
fn detach(null: &OwnedFd) -> Result<()> {
    SigSet::all().thread_block()?;
    dup2_stdin(null)?;
    dup2_stdout(null)?;
    dup2_stderr(null)?;
    setsid()?;
    Ok(chdir("/")?)
}

fn reap(cgroup: &Cgroup, lock: &OwnedFd, store: &Store, pod: &OwnedFd, alive: OwnedFd) -> Result<()> {
    let own = [lock.as_raw_fd(), pod.as_raw_fd(), alive.as_raw_fd()];
    let cgroups = cgroup.descriptors().map(AsRawFd::as_raw_fd);
    let trees = store.locks().map(|lock| lock.as_raw_fd());
    close_others(&own.into_iter().chain(cgroups).chain(trees).collect::<Vec<_>>())?;
    rustix::thread::set_name(c"gantry-reaper")?;
    // That another pod's cgroup can't be removed is nothing to this one.
    let _ = cgroup.sweep();
    while poll(&mut [PollFd::new(pod.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).is_err() {}
    drop(alive);
    cgroup.remove()
}

/// Closes every descriptor from 3 on but these.
pub(crate) fn close_others(keep: &[i32]) -> Result<()> {
    let listed = std::fs::read_dir("/proc/self/fd").context("cannot read /proc/self/fd")?;
    let open: Vec<i32> = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2 && !keep.contains(fd)) {
        // Listing itself took one, which is closed by now.
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}
