// SPDX-License-Identifier: Apache-2.0
//! The caller's terminal, as apps get it.
//!
//! A terminal is usually opened read-write, so any process that has it as stdout can read what is typed. The kernel
//! keeps background processes from that (SIGTTIN), but only in the terminal's own session. Apps are not in that
//! session, so they could read what is typed to the caller's shell. Therefore:
//!
//! - A terminal that apps write to is opened anew, for writing alone. It is opened on a mount that allows no devices,
//!   so that it can't be opened once more: an app that is root could do that, for reading.
//! - A terminal that apps read is opened for reading alone, and only if the pod is in the foreground
//!   ([`Input::Held`]). The pod is frozen whenever it is no longer in the foreground (`run::job`).
//! - A pod that is started in the background reads from a pipe ([`Input::Fed`]). The pipe is filled from the terminal
//!   once the pod is in the foreground (`run::feed`).
//!
//! Invariant: no process of a pod that runs in the background has a descriptor that reads the terminal of its session.

use std::fs::read_link;
use std::io::{IsTerminal as _, pipe};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use rustix::fs::{CWD, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, fcntl_setfl, fstat, openat};
use rustix::io::{Errno, read};
use rustix::termios::tcgetpgrp;
use sys::locks::identity;
use sys::mounts::{Depth, MountAttrFlags, Submounts, clone_tree, clone_tree_at, set_attributes};
use sys::{proc_path, terminals};

/// How the pod's apps have the terminal that is their stdin.
#[derive(Debug)]
pub(crate) enum Input {
    /// They have none, or it is not the terminal of this process's session.
    None,
    /// They have the terminal itself.
    Held(Held),
    /// They have a pipe that this process fills from the terminal.
    Fed {
        /// The terminal, opened with `O_NONBLOCK`.
        terminal: OwnedFd,
        /// The pipe's end that is written to, likewise.
        pipe: OwnedFd,
    },
}

/// A terminal that the only app reads and writes. The descriptor is this process's own, to ask the kernel about the
/// terminal.
#[derive(Debug)]
pub(crate) struct Held {
    terminal: OwnedFd,
    /// The terminal's owner and mode before it was the app's.
    before: Option<Stat>,
}

impl Held {
    /// Takes a terminal, and gives it to the host's user `user` if there is one.
    ///
    /// Otherwise an app with users of its own could not open it anew, by the name /dev/stdout. Only this process's user
    /// is kept from it meanwhile, and only by its permissions. A pod's process that is killed leaves it like that.
    fn new(terminal: OwnedFd, user: Option<u32>) -> Result<Self> {
        let Some(user) = user else { return Ok(Self { terminal, before: None }) };
        let before = fstat(&terminal)?;
        fchown(&terminal, Some(Uid::from_raw(user)), None).context("cannot give it to the app's user")?;
        Ok(Self { terminal, before: Some(before) })
    }

    /// Returns the terminal, opened with `O_NONBLOCK`.
    pub(crate) fn terminal(&self) -> &OwnedFd {
        &self.terminal
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(Stat { st_uid, st_gid, st_mode, .. }) = self.before {
            // A terminal that has gone needs nothing. As its owner, the app may have changed its mode and group, too.
            let _ = fchown(&self.terminal, Some(Uid::from_raw(st_uid)), Some(Gid::from_raw(st_gid)));
            let _ = fchmod(&self.terminal, Mode::from_raw_mode(st_mode));
        }
    }
}

/// Opens the apps' stdin, if the caller's is a terminal. It belongs to the host's user `user` as long as the apps have it.
pub(crate) fn input(caller: BorrowedFd<'_>, user: Option<u32>) -> Result<(OwnedFd, Input)> {
    let own = reopen(caller, OFlags::RDONLY | OFlags::NONBLOCK)?;
    if tcgetpgrp(&own).is_err() {
        return Ok((reopen(caller, OFlags::RDONLY)?, Input::None));
    }
    if !is_background(&own)? {
        return Ok((reopen(caller, OFlags::RDONLY)?, Input::Held(Held::new(own, user)?)));
    }
    let (reader, writer) = pipe().context("cannot make a pipe")?;
    let writer = OwnedFd::from(writer);
    fcntl_setfl(&writer, OFlags::NONBLOCK)?;
    Ok((reader.into(), Input::Fed { terminal: own, pipe: writer }))
}

/// Opens a terminal that the apps write to. An app whose stdin is the same terminal may open it again.
pub(crate) fn output(caller: BorrowedFd<'_>, input: &Input) -> Result<OwnedFd> {
    if matches!(input, Input::Held(held) if identity(held.terminal())? == identity(caller)?) {
        return reopen(caller, OFlags::WRONLY);
    }
    let mount = mount_of(caller).context("cannot take its mount")?;
    let opened = open(mount.as_fd(), OFlags::WRONLY)?;
    ensure_same(caller, &opened)?;
    set_attributes(&mount, MountAttrFlags::MOUNT_ATTR_NODEV, Depth::One)
        .context("cannot keep it from being opened again")?;
    Ok(opened)
}

/// Tells whether a descriptor is a terminal.
pub(crate) fn is_terminal(fd: impl AsFd) -> bool {
    fd.as_fd().is_terminal()
}

/// Tells whether this process would read the terminal of its session from the background, according to the kernel.
///
/// No byte is read. The terminal must be opened with `O_NONBLOCK`, since other processes may be waiting in a read of
/// it.
pub(crate) fn is_background(terminal: &OwnedFd) -> Result<bool> {
    // With the signal blocked, the kernel does not send it, and the read fails (n_tty.c, `job_control`).
    let blocked = SigSet::from(Signal::SIGTTIN).thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let found = read(terminal, &mut [0_u8; 0]);
    blocked.thread_set_mask()?;
    Ok(found == Err(Errno::IO) && tcgetpgrp(terminal).is_ok())
}

/// Makes a mount that contains the terminal alone.
///
/// The terminal may have been opened in another mount namespace, whose mounts can't be copied. Then the terminal of
/// the same name in this namespace is used, if it is the same one.
fn mount_of(terminal: BorrowedFd<'_>) -> Result<OwnedFd> {
    match clone_tree_at(terminal, Submounts::No) {
        Err(error) if error.errno == Errno::INVAL => {
            let name = read_link(proc_path(terminal))?;
            let name = name.to_str().context("its name is not text")?;
            let mount = clone_tree(name, Submounts::No).with_context(|| format!("cannot find {name:?}"))?;
            ensure!(identity(&mount)? == identity(terminal)?, "{name:?} is another");
            Ok(mount)
        }
        cloned => Ok(cloned?),
    }
}

fn reopen(terminal: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd> {
    let opened = open(terminal, flags)?;
    ensure_same(terminal, &opened)?;
    Ok(opened)
}

fn open(terminal: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::NOCTTY | OFlags::CLOEXEC;
    openat(CWD, proc_path(terminal), flags, Mode::empty()).context("cannot open it anew")
}

/// Fails if the terminal `opened` is another one.
///
/// Some names lead to another terminal each time they are opened: /dev/ptmx, /dev/tty0.
fn ensure_same(terminal: BorrowedFd<'_>, opened: &OwnedFd) -> Result<()> {
    let same = terminals::device(terminal)? == terminals::device(opened)?;
    ensure!(same, "opened anew, it is another");
    Ok(())
}
