// SPDX-License-Identifier: Apache-2.0
//! The message that carries the caller's stdio and the pod's sockets to the helpers in the pod.
//!
//! `/init` binds a datagram socket and queues one message on it that has the descriptors (unix(7), `SCM_RIGHTS`):
//! stdin, stdout, stderr, and then the sockets, in the plan's order. The socket goes to nspawn, to systemd, and as
//! `gantry-stdio.socket` to every service by socket activation. A helper peeks at the message and takes the descriptors
//! that are for it. `MSG_PEEK` duplicates the descriptors and leaves the message, so any number of services can do that. The last of
//! them, which records the pod's end, takes the message off.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail};
use rustix::net::{AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use sys::passing::{self, DESCRIPTORS_MAX};

use crate::names::STDIO;

/// Makes the socket, with the message queued on it.
pub(crate) fn offer(stdio: &[OwnedFd; 3], sockets: &[OwnedFd]) -> Result<OwnedFd> {
    let datagrams = || socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
    let listener = datagrams().context("socket")?;
    let address = SocketAddrUnix::new(STDIO)?;
    bind(&listener, &address).with_context(|| format!("cannot bind {STDIO}"))?;
    let descriptors: Vec<BorrowedFd<'_>> = stdio.iter().chain(sockets).map(AsFd::as_fd).collect();
    let sender = datagrams().context("socket")?;
    passing::send_to(sender, &address, b"0", &descriptors).context("cannot queue the caller's stdio")?;
    Ok(listener)
}

/// Takes the caller's stdio as this process's own, and returns the pod's sockets.
pub(crate) fn receive(socket: &OwnedFd) -> Result<Vec<OwnedFd>> {
    let mut all = descriptors(socket, RecvFlags::PEEK)?;
    if all.len() < 3 {
        bail!("{} descriptors on the stdio socket: expected three or more", all.len());
    }
    let sockets = all.split_off(3);
    become_stdio([&all[0], &all[1], &all[2]])?;
    Ok(sockets)
}

/// Takes the message off the socket, and gives this process's stdio up: the pod has none of the caller's descriptors then.
pub(crate) fn withdraw(socket: &OwnedFd) -> Result<()> {
    drop(descriptors(socket, RecvFlags::empty())?);
    let null = File::options().read(true).write(true).open("/dev/null")?;
    become_stdio([&null; 3])
}

fn become_stdio<F: AsFd>([input, out, error]: [F; 3]) -> Result<()> {
    dup2_stdin(input)?;
    dup2_stdout(out)?;
    Ok(dup2_stderr(error)?)
}

/// Receives the descriptors of the message.
fn descriptors(socket: &OwnedFd, how: RecvFlags) -> Result<Vec<OwnedFd>> {
    let flags = how | RecvFlags::DONTWAIT;
    let received = passing::receive(socket, &mut [0], DESCRIPTORS_MAX, flags)?;
    if received.descriptors.is_empty() {
        bail!("no descriptors on the stdio socket");
    }
    Ok(received.descriptors)
}
