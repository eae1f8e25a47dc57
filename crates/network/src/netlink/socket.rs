// SPDX-License-Identifier: Apache-2.0
//! A netlink socket. It belongs to the network namespace that its process was in when it was opened.
//!
//! The kernel carries out a request, and queues its answers, before the call that sent it returns. So nothing is waited
//! for.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with,
};

use super::answer::{Answer, answers};
use super::message::{ACKNOWLEDGE, Message};
use crate::error::Error;

/// More than the kernel puts into one answer (the kernel's net/netlink/af_netlink.c, `netlink_dump`).
const ANSWER_MAX: usize = 64 << 10;

/// A request, and what it makes, for an error's text.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) what: String,
    pub(crate) message: Message,
}

impl Request {
    pub(crate) fn new(what: impl Into<String>, message: Message) -> Self {
        Self { what: what.into(), message }
    }

    /// Returns the error of this request.
    pub(crate) fn failed(&self, errno: Errno) -> Error {
        Error::Kernel { what: self.what.clone(), errno }
    }
}

/// A socket.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

impl Socket {
    /// Opens a socket; `None` is the protocol of links, addresses and routes (rtnetlink(7)).
    pub(crate) fn open(protocol: Option<Protocol>) -> Result<Self, Errno> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self(socket))
    }

    /// Carries out requests in order, and fails with the first one that failed.
    ///
    /// The others are carried out, too: no request may depend on one before it having been successful.
    pub(crate) fn all(&self, requests: &[Request]) -> Result<(), Error> {
        let mut bytes = Vec::new();
        for (sequence, request) in (0..).zip(requests) {
            bytes.extend(request.message.clone().with_flags(ACKNOWLEDGE).finish(sequence));
        }
        let Some(first) = requests.first() else { return Ok(()) };
        self.send(&bytes).map_err(|errno| first.failed(errno))?;
        let mut done = vec![None; requests.len()];
        self.receive(|answer| {
            let Answer::Done { sequence, result } = answer else { return };
            let index = usize::try_from(sequence).unwrap_or(usize::MAX);
            if let Some(place) = done.get_mut(index) {
                *place = Some(result);
            }
        })
        .map_err(|errno| first.failed(errno))?;
        for (request, result) in requests.iter().zip(done) {
            result.unwrap_or(Err(Errno::PROTO)).map_err(|errno| request.failed(errno))?;
        }
        Ok(())
    }

    /// Carries out one request, and returns the objects that the kernel answers with.
    pub(crate) fn ask(&self, request: &Request) -> Result<Vec<Vec<u8>>, Error> {
        let (mut objects, mut ended) = (Vec::new(), Ok(()));
        let answered = self.send(&request.message.clone().finish(1)).and_then(|()| {
            self.receive(|answer| match answer {
                Answer::Object(object) => objects.push(object.to_vec()),
                Answer::Done { result, .. } => ended = ended.and(result),
            })
        });
        answered.and(ended).map(|()| objects).map_err(|errno| request.failed(errno))
    }

    /// Sends messages to the kernel, as one packet.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<(), Errno> {
        sendto(&self.0, bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).map(drop)
    }

    /// Reads all answers that are there.
    pub(crate) fn receive(&self, mut each: impl FnMut(Answer<'_>)) -> Result<(), Errno> {
        let mut buffer = vec![0; ANSWER_MAX];
        loop {
            match recv(&self.0, &mut buffer[..], RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
                Ok((_, length)) if length > ANSWER_MAX => return Err(Errno::MSGSIZE),
                Ok((_, length)) => answers(&buffer[..length]).into_iter().for_each(&mut each),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
