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

use std::os::fd::{AsRawFd, OwnedFd};
use std::process::exit;

use ::network::{HOLDER, LETS_GO};
use anyhow::{Context, Result};
use nix::sys::signal::SigSet;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, openat};
use rustix::process::{PidfdFlags, chdir, getpid, pidfd_open, setsid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use sys::descriptors::close_others;
use sys::process::{ForkResult, fork};

use crate::enter::cgroup::Cgroup;
use crate::load::ids::Locks;
use crate::load::lock;
use crate::load::network;
use crate::load::store::Store;
use crate::run::history::History;

/// Descriptors that keep what the pod has of the host's. The reaper holds them until nothing is left of the pod.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    pub(crate) ids: &'a Locks,
    pub(crate) network: &'a network::Reservation,
}

/// Starts the reaper of this process's pod. `lock`, the trees and the ids stay locked until the reaper ends, and the
/// pod has its network until then.
///
/// Returns the lock on stage1, which this process alone has: the kernel lets go of it as this process ends.
pub(crate) fn start(
    cgroup: &Cgroup,
    lock: &OwnedFd,
    store: &Store,
    held: &Held<'_>,
    history: &History,
) -> Result<OwnedFd> {
    let pod = pidfd_open(getpid(), PidfdFlags::empty()).context("cannot open this process")?;
    let alive = lock::alive(lock, FlockOperation::LockExclusive).context("cannot lock stage1")?;
    let null = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .context("cannot open /dev/null")?;
    match fork().context("cannot fork the reaper")? {
        ForkResult::Parent { .. } => Ok(alive),
        ForkResult::Child => {
            drop(alive);
            // The reaper works even if some of that fails.
            let _ = detach(&null);
            exit(i32::from(reap(cgroup, lock, store, held, history, &pod).is_err()))
        }
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
    held: &Held<'_>,
    history: &History,
    pod: &OwnedFd,
) -> Result<()> {
    let own = [lock.as_raw_fd(), history.descriptor(), pod.as_raw_fd()];
    let cgroups = cgroup.descriptors().map(|cgroup| cgroup.as_raw_fd());
    let trees = store.locks().map(|lock| lock.as_raw_fd());
    let Held { ids, network } = held;
    let of_ids = ids.descriptors().map(|lock| lock.as_raw_fd());
    let kept: Vec<_> =
        own.into_iter().chain(cgroups).chain(trees).chain(of_ids).chain(network.descriptors()).collect();
    close_others(|number| kept.contains(&number))?;
    rustix::thread::set_name(HOLDER)?;
    cgroup.sweep();
    ids.sweep();
    while poll(&mut [PollFd::new(pod, PollFlags::IN)], None).is_err() {}
    // A start that needs the same ports sees this name, and waits until they are free (`network::ports`).
    let _ = rustix::thread::set_name(LETS_GO);
    network.let_go();
    let removed = cgroup.remove();
    // Nothing of the pod is left that could have them.
    ids.give_back();
    history.killed();
    removed
}
