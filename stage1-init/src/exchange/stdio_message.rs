// SPDX-License-Identifier: Apache-2.0
//! The message that carries the caller's stdio and the pod's sockets to the helpers in the pod.
//!
//! `/init` binds a datagram socket and queues one message on it that has the descriptors (unix(7), `SCM_RIGHTS`):
//! stdin, stdout, stderr, and then the sockets, in the plan's order. The socket goes to nspawn, to systemd, and as
//! `gantry-stdio.socket` to every service by socket activation. A helper peeks at the message and takes the descriptors
//! that are for it. `MSG_PEEK` duplicates the descriptors and leaves the message, so any number of services can do that.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, recvmsg, sendmsg_addr,
    socket_with,
};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::names::STDIO;

/// The maximum number of descriptors in a message (linux/net.h, SCM_MAX_FD).
const DESCRIPTORS_MAX: usize = 253;

/// Makes the socket, with the message queued on it.
pub(crate) fn offer(stdio: &[OwnedFd; 3], sockets: &[OwnedFd]) -> Result<OwnedFd> {
    let datagrams = || socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
    let listener = datagrams().context("socket")?;
    let address = SocketAddrUnix::new(STDIO)?;
    bind(&listener, &address).with_context(|| format!("cannot bind {STDIO}"))?;
    let descriptors: Vec<BorrowedFd<'_>> = stdio.iter().chain(sockets).map(AsFd::as_fd).collect();
    let rights = SendAncillaryMessage::ScmRights(&descriptors);
    let mut space = vec![MaybeUninit::uninit(); rights.size()];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(rights);
    let sender = datagrams().context("socket")?;
    sendmsg_addr(sender, &address, &[IoSlice::new(b"0")], &mut ancillary, SendFlags::empty())
        .context("cannot queue the caller's stdio")?;
    Ok(listener)
}

/// Takes the caller's stdio as this process's own, and returns the pod's sockets.
pub(crate) fn receive(socket: &OwnedFd) -> Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::PEEK | RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, flags)?;
    let Some(RecvAncillaryMessage::ScmRights(descriptors)) = ancillary.drain().next() else {
        bail!("no descriptors on the stdio socket");
    };
    let mut all: Vec<_> = descriptors.collect();
    if all.len() < 3 {
        bail!("{} descriptors on the stdio socket: expected three or more", all.len());
    }
    let sockets = all.split_off(3);
    dup2_stdin(&all[0])?;
    dup2_stdout(&all[1])?;
    dup2_stderr(&all[2])?;
    Ok(sockets)
}
