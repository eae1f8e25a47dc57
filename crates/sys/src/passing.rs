// SPDX-License-Identifier: Apache-2.0
//! Passes descriptors to other processes, over Unix sockets (unix(7), `SCM_RIGHTS`).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Result, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, recvmsg, sendmsg, sendmsg_addr,
};

/// The most descriptors in a message (linux/net/scm.h, `SCM_MAX_FD`).
pub const DESCRIPTORS_MAX: usize = 253;

/// A message as it was received.
#[derive(Debug)]
pub struct Received {
    /// The length of the message. 0 means the end of a connection, or a message without bytes.
    pub bytes: usize,
    /// The message was not longer than the space for it.
    pub is_whole: bool,
    /// In the order in which they were sent.
    pub descriptors: Vec<OwnedFd>,
}

/// Sends a message with descriptors, at most [`DESCRIPTORS_MAX`].
///
/// # Errors
/// Returns the system's error (sendmsg(2)).
pub fn send(
    socket: impl AsFd,
    message: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> Result<()> {
    let call = |rights: &mut SendAncillaryBuffer<'_, '_, '_>| {
        sendmsg(socket, &[IoSlice::new(message)], rights, flags).map(drop)
    };
    with_rights(descriptors, call)
}

/// Sends a message with descriptors to a socket that this one is not connected to.
///
/// # Errors
/// As [`send`].
pub fn send_to(
    socket: impl AsFd,
    address: &SocketAddrUnix,
    message: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<()> {
    let call = |rights: &mut SendAncillaryBuffer<'_, '_, '_>| {
        sendmsg_addr(socket, address, &[IoSlice::new(message)], rights, SendFlags::empty()).map(drop)
    };
    with_rights(descriptors, call)
}

fn with_rights(
    descriptors: &[BorrowedFd<'_>],
    call: impl FnOnce(&mut SendAncillaryBuffer<'_, '_, '_>) -> Result<()>,
) -> Result<()> {
    let rights = SendAncillaryMessage::ScmRights(descriptors);
    let mut space = vec![MaybeUninit::uninit(); rights.size()];
    let mut buffer = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        buffer.push(rights);
    }
    call(&mut buffer)
}

/// Receives a message into `message`, with the descriptors that it has. They are closed on execve(2).
///
/// There is space for `most` descriptors, and for a few more, as the space is aligned. Further ones don't arrive.
///
/// # Errors
/// Returns the system's error (recvmsg(2)).
pub fn receive(socket: impl AsFd, message: &mut [u8], most: usize, flags: RecvFlags) -> Result<Received> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(most))];
    let mut buffer = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let received = retry_on_intr(|| recvmsg(&socket, &mut [IoSliceMut::new(message)], &mut buffer, flags))?;
    let mut descriptors = Vec::new();
    for part in buffer.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = part {
            descriptors.extend(passed);
        }
    }
    let is_whole = !received.flags.contains(ReturnFlags::TRUNC);
    Ok(Received { bytes: received.bytes, is_whole, descriptors })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::fstat;
    use rustix::io::{FdFlags, fcntl_getfd};
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
    }

    #[test]
    fn the_same_files_come_in_order_and_no_program_gets_them() {
        let ((ours, theirs), others) = (pair(), pair());
        let sent = [others.0.as_fd(), others.1.as_fd()];
        send(&ours, b"two", &sent, SendFlags::empty()).unwrap();
        let mut message = [0; 8];
        let received = receive(&theirs, &mut message, 2, RecvFlags::empty()).unwrap();
        assert_eq!((&message[..received.bytes], received.is_whole), (&b"two"[..], true));
        let inodes =
            |all: &[BorrowedFd<'_>]| -> Vec<_> { all.iter().map(|one| fstat(one).unwrap().st_ino).collect() };
        let got: Vec<_> = received.descriptors.iter().map(AsFd::as_fd).collect();
        assert_eq!(inodes(&got), inodes(&sent));
        assert!(got.iter().all(|one| fcntl_getfd(one).unwrap().contains(FdFlags::CLOEXEC)));
    }

    #[test]
    fn a_message_that_is_too_long_is_said_not_to_be_whole() {
        let (ours, theirs) = pair();
        send(&ours, b"long", &[], SendFlags::empty()).unwrap();
        let received = receive(&theirs, &mut [0; 3], 1, RecvFlags::empty()).unwrap();
        assert_eq!((received.bytes, received.is_whole, received.descriptors.len()), (3, false, 0));
    }

    #[test]
    fn descriptors_for_which_there_is_no_space_do_not_come() {
        let (ours, theirs) = pair();
        send(&ours, b"", &[ours.as_fd(); DESCRIPTORS_MAX], SendFlags::empty()).unwrap();
        let received = receive(&theirs, &mut [], 1, RecvFlags::empty()).unwrap();
        assert!(received.descriptors.len() < 8, "{}", received.descriptors.len());
    }
}
