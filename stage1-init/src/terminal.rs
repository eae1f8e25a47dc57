// SPDX-License-Identifier: Apache-2.0
//! The caller's terminal, as apps get it.
//!
//! A terminal is opened read-write as a rule, and whoever has it as stdout can read what is typed. The kernel keeps those
//! in the background from that (SIGTTIN), but only in the terminal's own session, and an app is in none: it could read
//! what is typed to the caller's shell. So:
//!
//! - What is written to is opened anew for writing alone. On a mount that allows no devices, so that it can't be opened
//!   once more: an app that is root could, for reading.
//! - What is read is opened for reading alone, and only where the pod is in the foreground ([`Input::Held`]). The pod is
//!   frozen whenever it is not any more ([`crate::job`]).
//! - A pod that is started in the background reads from a pipe ([`Input::Fed`]), which is filled from the terminal once
//!   it is in the foreground ([`crate::feed`]).
//!
//! Invariant: no process of a pod that runs in the background has a descriptor that reads the terminal of its session.

use std::fs::{File, OpenOptions, read_link};
use std::io::pipe;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{FileStat, fstat};
use nix::unistd::{isatty, read, tcgetpgrp};
use rustix::mount::MountAttrFlags;

use crate::feed::Feed;
use crate::filesystem::{Submounts, clone_tree, clone_tree_at};
use crate::sys::{self, Depth, set_attributes};

/// How the pod's apps have the terminal that is their stdin.
#[derive(Debug)]
pub(crate) enum Input {
    /// Not at all, or it is none that this process's session has.
    None,
    /// As it is. This is the terminal, opened by this process to ask the kernel about it.
    Held(OwnedFd),
    /// By this process.
    Fed(Feed),
}

/// Opens what the apps get as stdin, where the caller's is a terminal.
pub(crate) fn input(caller: BorrowedFd<'_>) -> Result<(OwnedFd, Input)> {
    let own = reopen(caller, OFlag::O_RDONLY | OFlag::O_NONBLOCK)?;
    if tcgetpgrp(&own).is_err() {
        return Ok((reopen(caller, OFlag::O_RDONLY)?, Input::None));
    }
    if !is_background(&own)? {
        return Ok((reopen(caller, OFlag::O_RDONLY)?, Input::Held(own)));
    }
    let (reader, writer) = pipe().context("cannot make a pipe")?;
    let writer = OwnedFd::from(writer);
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((reader.into(), Input::Fed(Feed::new(own, writer)?)))
}

/// Opens a terminal that the apps write to. An app that has the same as stdin may open it again.
pub(crate) fn output(caller: BorrowedFd<'_>, input: &Input) -> Result<OwnedFd> {
    if matches!(input, Input::Held(terminal) if is_same(&fstat(terminal)?, &fstat(caller)?)) {
        return reopen(caller, OFlag::O_WRONLY);
    }
    let mount = mount_of(caller).context("cannot take its mount")?;
    let opened = open(mount.as_fd(), OFlag::O_WRONLY)?;
    ensure_same(caller, &opened)?;
    set_attributes(&mount, MountAttrFlags::MOUNT_ATTR_NODEV, Depth::One)
        .context("cannot keep it from being opened again")?;
    Ok(opened)
}

/// Whether it is one.
pub(crate) fn is_terminal(fd: impl AsFd) -> bool {
    isatty(fd).unwrap_or(false)
}

/// Whether a read by this process would be one from the background, of the terminal of its session: the kernel's own
/// answer. No byte is read. The terminal was opened with `O_NONBLOCK`, since others may wait in a read of it.
pub(crate) fn is_background(terminal: &OwnedFd) -> Result<bool> {
    // Blocked, the signal is not sent, and the read fails (n_tty.c, `job_control`).
    let blocked = SigSet::from(Signal::SIGTTIN).thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
    let found = read(terminal, &mut []);
    blocked.thread_set_mask()?;
    Ok(found == Err(Errno::EIO) && tcgetpgrp(terminal).is_ok())
}

/// A mount of its own that has the terminal alone. Terminals may have been opened in another mount namespace, whose mounts
/// can't be copied: then this one has the same by the same name.
fn mount_of(terminal: BorrowedFd<'_>) -> Result<OwnedFd> {
    match clone_tree_at(terminal, Submounts::No) {
        Err(rustix::io::Errno::INVAL) => {
            let name = read_link(format!("/proc/self/fd/{}", terminal.as_raw_fd()))?;
            let name = name.to_str().context("its name is not text")?;
            let mount = clone_tree(name, Submounts::No).with_context(|| format!("cannot find {name:?}"))?;
            ensure!(is_same(&fstat(&mount)?, &fstat(terminal)?), "{name:?} is another");
            Ok(mount)
        }
        cloned => Ok(cloned?),
    }
}

fn reopen(terminal: BorrowedFd<'_>, flags: OFlag) -> Result<OwnedFd> {
    let opened = open(terminal, flags)?;
    ensure_same(terminal, &opened)?;
    Ok(opened)
}

fn open(terminal: BorrowedFd<'_>, flags: OFlag) -> Result<OwnedFd> {
    let access = flags & OFlag::O_ACCMODE;
    let opened = OpenOptions::new()
        .read(access == OFlag::O_RDONLY)
        .write(access == OFlag::O_WRONLY)
        .custom_flags(((flags - OFlag::O_ACCMODE) | OFlag::O_NOCTTY).bits())
        .open(format!("/proc/self/fd/{}", terminal.as_raw_fd()))
        .map(File::into);
    opened.context("cannot open it anew")
}

/// What names a terminal may lead to another each time it is opened: /dev/ptmx, /dev/tty0.
fn ensure_same(terminal: BorrowedFd<'_>, opened: &OwnedFd) -> Result<()> {
    let same = sys::terminal_device(terminal)? == sys::terminal_device(opened)?;
    ensure!(same, "opened anew, it is another");
    Ok(())
}

fn is_same(one: &FileStat, other: &FileStat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}
