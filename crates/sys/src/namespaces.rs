// SPDX-License-Identifier: Apache-2.0
//! Namespaces of a process (namespaces(7)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

// rustix has no safe function for this.
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Gives this process a mount, a network and an IPC namespace of its own. The process must have one thread.
///
/// # Errors
/// Returns the system's error.
pub fn isolate() -> io::Result<()> {
    Ok(unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC)?)
}

/// Gives this process a mount namespace of its own, a copy of the one that it is in. The process must have one thread.
///
/// # Errors
/// Returns the system's error.
pub fn unshare_mounts() -> Result<(), Errno> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|error| Errno::from_raw_os_error(error as i32))
}

/// Moves this process into a mount namespace, which may be its own: its root becomes the topmost one there (setns(2)).
///
/// # Errors
/// Returns the system's error.
pub fn enter_mounts(namespace: impl AsFd) -> Result<(), Errno> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))
}

/// Moves this process into a cgroup namespace.
///
/// # Errors
/// Returns the system's error.
pub fn enter_cgroups(namespace: impl AsFd) -> Result<(), Errno> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::ControlGroup))
}

/// Runs `visit` in another network namespace, and moves this thread back. Sockets that it opens stay in that namespace.
///
/// # Errors
/// Returns the system's error. If the thread can't be moved back, it stays there.
pub fn in_network<T>(namespace: impl AsFd, visit: impl FnOnce() -> T) -> Result<T, Errno> {
    within(namespace.as_fd(), LinkNameSpaceType::Network, "/proc/thread-self/ns/net", visit)
}

/// Runs `visit` in another IPC namespace, and moves this thread back.
///
/// # Errors
/// Returns the system's error. If the thread can't be moved back, it
/// stays there.
pub fn in_ipc<T>(namespace: impl AsFd, visit: impl FnOnce() -> T) -> Result<T, Errno> {
    let kind = LinkNameSpaceType::InterProcessCommunication;
    within(namespace.as_fd(), kind, "/proc/thread-self/ns/ipc", visit)
}

fn within<T>(
    namespace: BorrowedFd<'_>,
    kind: LinkNameSpaceType,
    own: &str,
    visit: impl FnOnce() -> T,
) -> Result<T, Errno> {
    let own = openat(CWD, own, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    move_into_link_name_space(namespace, Some(kind))?;
    let visited = visit();
    move_into_link_name_space(own.as_fd(), Some(kind))?;
    Ok(visited)
}

/// Tells whether this thread is in a namespace, of whatever kind.
///
/// # Errors
/// Returns the system's error.
pub fn is_own(namespace: impl AsFd, kind: &str) -> Result<bool, Errno> {
    let own = statat(CWD, format!("/proc/thread-self/ns/{kind}"), AtFlags::empty())?;
    let other = fstat(namespace)?;
    Ok((own.st_dev, own.st_ino) == (other.st_dev, other.st_ino))
}
