// SPDX-License-Identifier: Apache-2.0
//! Opening relative to a descriptor, with the kernel's help against links (openat2(2)).
//!
//! Invariant: every openat2 of Gantry's is here. The kernel fails a lookup with EAGAIN where something was renamed or
//! mounted anywhere meanwhile, so each is tried again.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::{Errno, Result};

/// How often a lookup is tried that a change elsewhere disturbed.
const ATTEMPTS: usize = 32;

/// Opens `path` below `directory`. No link is followed, and `..` leads nowhere above it.
///
/// # Errors
/// `ELOOP` where a component is a link, `EXDEV` where the path leads out; the system's others.
pub fn open_beneath(directory: impl AsFd, path: impl AsRef<Path>, flags: OFlags) -> Result<OwnedFd> {
    let path = path.as_ref();
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    open(directory, path.as_os_str(), flags, Mode::empty(), BENEATH)
}

/// Opens `path` as if `root` were `/`: links are followed inside of it, but for those of /proc.
///
/// # Errors
/// The system's.
pub fn open_in_root(root: impl AsFd, path: impl AsRef<OsStr>, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    open(root, path.as_ref(), flags, mode, resolve)
}

/// Opens `path` from `directory` without leaving the mount that `directory` is on, a bind mount included. No link is
/// followed; `..` may be in the path.
///
/// # Errors
/// `EXDEV` where a mount is in the way; the system's others.
pub fn open_on_mount(directory: impl AsFd, path: impl AsRef<OsStr>, flags: OFlags) -> Result<OwnedFd> {
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    open(directory, path.as_ref(), flags, Mode::empty(), resolve)
}

/// Opens `path`, from the current directory if it is relative, through no link at all.
///
/// # Errors
/// `ELOOP` where a component is a link; the system's others.
pub fn open_plainly(path: impl AsRef<OsStr>, flags: OFlags) -> Result<OwnedFd> {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    open(CWD, path.as_ref(), flags, Mode::empty(), resolve)
}

/// The path of an open file that leads to it whatever it is called (proc_pid_fd(5)): to name it in a call that takes no
/// descriptor.
pub fn proc_path(file: impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}

const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

fn open(
    directory: impl AsFd,
    path: &OsStr,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> Result<OwnedFd> {
    for _ in 1..ATTEMPTS {
        match openat2(&directory, path, flags | OFlags::CLOEXEC, mode, resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            opened => return opened,
        }
    }
    Err(Errno::AGAIN)
}
