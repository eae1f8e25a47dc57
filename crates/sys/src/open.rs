// SPDX-License-Identifier: Apache-2.0
//! Opens files relative to a descriptor, with the kernel's protection against links (openat2(2)).
//!
//! Invariant: every openat2 call of Gantry's is in this module. The kernel fails a lookup with EAGAIN if something was
//! renamed or mounted anywhere meanwhile, so each lookup is retried, a bounded number of times.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use crate::error::{CalledOn as _, Error};

/// How often a lookup is tried if changes elsewhere disturb it.
const ATTEMPTS: usize = 32;

/// Opens `path` below `directory`. Follows no link, and `..` can't lead above `directory`.
///
/// # Errors
/// `ELOOP` if a component is a link, `EXDEV` if the path leads out; otherwise the system's error.
pub fn open_beneath(directory: impl AsFd, path: impl AsRef<Path>, flags: OFlags) -> Result<OwnedFd, Error> {
    let path = path.as_ref();
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    open(directory.as_fd(), path.as_os_str(), flags, Mode::empty(), BENEATH)
}

/// Opens `path` as if `root` were `/`. Follows links inside of the root, except the magic links of /proc.
///
/// # Errors
/// Returns the system's error.
pub fn open_in_root(
    root: impl AsFd,
    path: impl AsRef<OsStr>,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Error> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    open(root.as_fd(), path.as_ref(), flags, mode, resolve)
}

/// Opens `path` from `directory` without leaving the mount that `directory` is on, bind mounts included.
///
/// Follows no link; `..` is allowed in the path.
///
/// # Errors
/// `EXDEV` if the path crosses into another mount; otherwise the system's error.
pub fn open_on_mount(directory: impl AsFd, path: impl AsRef<OsStr>, flags: OFlags) -> Result<OwnedFd, Error> {
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    open(directory.as_fd(), path.as_ref(), flags, Mode::empty(), resolve)
}

/// Opens `path` without following any link. A relative path starts at the current directory.
///
/// # Errors
/// `ELOOP` if a component is a link; otherwise the system's error.
pub fn open_plainly(path: impl AsRef<OsStr>, flags: OFlags) -> Result<OwnedFd, Error> {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    open(CWD, path.as_ref(), flags, Mode::empty(), resolve)
}

/// Opens an absolute path by name only (`O_PATH`), without following any link. An automount point is mounted.
///
/// # Errors
/// `ELOOP` if a component is a link; otherwise the system's error.
pub fn open_mounted(path: impl AsRef<OsStr>) -> Result<OwnedFd, Error> {
    // Tried as a directory first: only then is an automount point mounted (open(2), O_PATH).
    match open_plainly(&path, OFlags::PATH | OFlags::DIRECTORY) {
        Err(error) if error.errno == Errno::NOTDIR => open_plainly(path, OFlags::PATH),
        opened => opened,
    }
}

/// Opens an absolute path by name only (`O_PATH`), following links, except the magic links of /proc. An automount point is
/// mounted.
///
/// # Errors
/// `ELOOP` if a component is such a link; otherwise the system's error.
pub fn open_followed(path: impl AsRef<OsStr>) -> Result<OwnedFd, Error> {
    match open_without_magic(&path, OFlags::PATH | OFlags::DIRECTORY) {
        Err(error) if error.errno == Errno::NOTDIR => open_without_magic(path, OFlags::PATH),
        opened => opened,
    }
}

/// Opens `path`, following links, except the magic links of /proc.
///
/// Those lead to what a process has open, whatever their text says.
///
/// # Errors
/// `ELOOP` if a component is such a link; otherwise the system's error.
pub fn open_without_magic(path: impl AsRef<OsStr>, flags: OFlags) -> Result<OwnedFd, Error> {
    open(CWD, path.as_ref(), flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)
}

/// Returns a path to an open file that works whatever the file's name is (proc_pid_fd(5)), for system calls that take
/// no descriptor.
pub fn proc_path(file: impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}

const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

// Not inlined: it is called for every type of descriptor and path.
#[inline(never)]
fn open(
    directory: BorrowedFd<'_>,
    path: &OsStr,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Error> {
    let mut opened = Err(Errno::AGAIN);
    for _ in 0..ATTEMPTS {
        opened = openat2(directory, path, flags | OFlags::CLOEXEC, mode, resolve);
        if !matches!(opened, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
    }
    opened.called_on("openat2", path)
}
