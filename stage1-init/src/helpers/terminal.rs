// SPDX-License-Identifier: Apache-2.0
//! Gives a program a terminal: one of the pod's own, which becomes its controlling terminal.
//!
//! The other side goes by a socket to the process that shows the terminal, outside of the pod. It is passed on while
//! the launcher is in the pod's root, where no process of an app can look into the launcher, and no process in the pod
//! keeps it. So all that a program can do to the caller's terminal is to write to it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use pod::manifest::Users;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{read, retry_on_intr};
use rustix::net::SendFlags;
use rustix::process::ioctl_tiocsctty;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use sys::locks::identity;
use sys::users::acting_as;
use sys::{open_without_magic, passing, proc_path};

use crate::exchange::launch_file::Launch;
use crate::names::USERS;

/// The device that makes a new terminal, in the pod's root.
const MULTIPLEXER: &str = "/dev/pts/ptmx";

/// Makes the terminal that a program is to have this process's stdio. Does nothing if it is to have none.
pub(super) fn take(launch: &Launch, sockets: &[OwnedFd]) -> Result<()> {
    let Some(index) = launch.terminal else { return Ok(()) };
    let make = || -> Result<()> {
        let socket = sockets.get(index).context("there is no socket for it")?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // The kernel gives a terminal to the user that makes it.
        let opened = acting_as(owner(launch)?, || openat(CWD, MULTIPLEXER, flags, Mode::empty()))?;
        let shown = opened.context("cannot open it")?;
        unlockpt(&shown)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = ioctl_tiocgptpeer(&shown, flags).context("cannot open its other side")?;
        hand_over(socket, &shown)?;
        become_stdio(&terminal)?;
        ioctl_tiocsctty(&terminal).context("it can't be its controlling terminal")
    };
    make().with_context(|| format!("app {}: cannot make its terminal", launch.app))
}

/// Passes the side that shows what is written, and waits until it has got its size.
fn hand_over(socket: &OwnedFd, shown: &OwnedFd) -> Result<()> {
    passing::send(socket, b"t", &[shown.as_fd()], SendFlags::NOSIGNAL)
        .context("no process shows what is written to it")?;
    let count = retry_on_intr(|| read(socket, &mut [0; 1]))?;
    ensure!(count == 1, "no process shows what is written to it");
    Ok(())
}

fn become_stdio(terminal: impl AsFd) -> Result<()> {
    dup2_stdin(&terminal)?;
    dup2_stdout(&terminal)?;
    Ok(dup2_stderr(&terminal)?)
}

/// Opens this process's terminal anew by the name that it has in the app's root, so that ttyname(3) finds it.
///
/// What is there otherwise is left alone, and the terminal stays as it is.
pub(super) fn open_by_own_name() {
    let open = || -> Result<()> {
        let name = fs::read_link("/proc/self/fd/0")?;
        let number = name.file_name().context("it has no name")?;
        let found = open_without_magic(std::path::Path::new("/dev/pts").join(number), OFlags::PATH)?;
        ensure!(identity(&found)? == identity(io::stdin())?, "it is another");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        become_stdio(openat(CWD, proc_path(&found), flags, Mode::empty())?)
    };
    let _ = open();
}

/// Returns the user of the pod that the program is.
fn owner(launch: &Launch) -> Result<u32> {
    if launch.users != Users::Own {
        return Ok(launch.user);
    }
    let list = fs::read_to_string(format!("/{USERS}")).context("cannot list the apps' users")?;
    let first = list.lines().find_map(|line| {
        let mut words = line.split(' ');
        (words.next() == Some(launch.app.as_str())).then(|| words.next()?.parse::<u32>().ok())?
    });
    Ok(first.context("it has no users")? + launch.user)
}
