// SPDX-License-Identifier: Apache-2.0
//! The reaper: the one process of Gantry's that stays after a pod has ended, to remove the pod's cgroup.
//!
//! A cgroup can't remove itself, and nspawn does not remove it. An nspawn that is killed by SIGKILL leaves its pod
//! running (measured with 252). So `/init` forks the reaper off before it starts nspawn. The reaper sleeps until the
//! pod's process has ended, ends what is left in the pod's cgroup and removes the cgroup. It does none of the pod's
//! work, reacts to no signal but SIGKILL, and holds nothing of the caller's: not its session, terminal, working
//! directory or descriptors. It holds the pod's lock and those of the pod's trees, so these are locked exactly as long
//! as anything of the pod exists.
//!
//! First it removes the cgroups that killed reapers have left behind.

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

use crate::enter::cgroup::Cgroup;
use crate::load::lock;
use crate::load::store::Store;
use crate::run::history::History;
use crate::sys;

/// Starts the reaper of this process's pod. `lock` and the trees stay locked until the reaper ends.
pub(crate) fn start(cgroup: &Cgroup, lock: &OwnedFd, store: &Store, history: &History) -> Result<()> {
    let own = Pid::from_raw(getpid().as_raw()).context("this process has no id")?;
    let pod = pidfd_open(own, PidfdFlags::empty()).context("cannot open this process")?;
    let alive = lock::alive(lock, FlockOperation::LockExclusive).context("cannot lock stage1")?;
    let null = nix::fcntl::open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
        .context("cannot open /dev/null")?;
    // Forked twice, so that the reaper is no child of nspawn's.
    match sys::fork().context("cannot fork")? {
        ForkResult::Parent { child } => {
            let ended = waitpid(child, None).context("cannot wait for the reaper's parent")?;
            ensure!(ended == WaitStatus::Exited(child, 0), "cannot fork the reaper");
            Ok(())
        }
        ForkResult::Child => match sys::fork() {
            Ok(ForkResult::Child) => {
                // The reaper works even if some of that fails.
                let _ = detach(&null);
                exit(i32::from(reap(cgroup, lock, store, history, &pod, alive).is_err()))
            }
            Ok(ForkResult::Parent { .. }) => exit(0),
            Err(_) => exit(1),
        },
    }
}

/// Lets go of the caller's stdio, session and working directory, and blocks all signals.
fn detach(null: &OwnedFd) -> Result<()> {
    SigSet::all().thread_block()?;
    dup2_stdin(null)?;
    dup2_stdout(null)?;
    dup2_stderr(null)?;
    setsid()?;
    Ok(chdir("/")?)
}

fn reap(
    cgroup: &Cgroup,
    lock: &OwnedFd,
    store: &Store,
    history: &History,
    pod: &OwnedFd,
    alive: OwnedFd,
) -> Result<()> {
    let own = [lock.as_raw_fd(), history.descriptor(), pod.as_raw_fd(), alive.as_raw_fd()];
    let cgroups = cgroup.descriptors().map(AsRawFd::as_raw_fd);
    let trees = store.locks().map(|lock| lock.as_raw_fd());
    close_others(&own.into_iter().chain(cgroups).chain(trees).collect::<Vec<_>>())?;
    rustix::thread::set_name(c"gantry-reaper")?;
    // It doesn't matter to this pod if another pod's cgroup can't be removed.
    let _ = cgroup.sweep();
    while poll(&mut [PollFd::new(pod.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).is_err() {}
    drop(alive);
    let removed = cgroup.remove();
    history.killed();
    removed
}

/// Closes every descriptor from 3 on, except for those to keep.
pub(crate) fn close_others(keep: &[i32]) -> Result<()> {
    let listed = std::fs::read_dir("/proc/self/fd").context("cannot read /proc/self/fd")?;
    let open: Vec<i32> = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2 && !keep.contains(fd)) {
        // The list includes the descriptor used to make it, which is closed by now.
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}
