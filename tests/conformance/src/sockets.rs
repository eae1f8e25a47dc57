// SPDX-License-Identifier: Apache-2.0
//! Sockets passed to the app by the protocol of sd_listen_fds(3): descriptors from 3 on, described by `LISTEN_*`.

use std::env;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd, RawFd};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rustix::net::sockopt::{socket_acceptconn, socket_type};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddr, SocketFlags, SocketType,
    getsockname, recvmsg, socketpair,
};

use crate::expect::{Expectations, Protocol, Socket};
use crate::report::{Report, compare};

/// The first descriptor passed (sd-daemon.h: SD_LISTEN_FDS_START).
const FIRST: RawFd = 3;

/// A socket, and whether it listens.
#[derive(Debug, PartialEq, Eq)]
struct Passed {
    name: String,
    protocol: Protocol,
    port: u16,
    listens: bool,
}

/// Checks `sockets`.
pub(crate) fn check(report: &mut Report, expected: &Expectations) {
    report.check("sockets", &expected.sockets, |sockets| {
        let sockets: Vec<Passed> = sockets.iter().map(wanted).collect();
        compare(passed(), &sockets)
    });
}

fn wanted(socket: &Socket) -> Passed {
    let Socket { ref name, protocol, port } = *socket;
    Passed { name: name.clone(), protocol, port, listens: protocol == Protocol::Tcp }
}

fn passed() -> Result<Vec<Passed>> {
    let variable = |name: &str| env::var(name).with_context(|| format!("cannot use {name}"));
    let (pid, own) = (variable("LISTEN_PID")?, std::process::id());
    ensure!(pid == own.to_string(), "LISTEN_PID is {pid}, this process is {own}");
    let count = variable("LISTEN_FDS")?;
    let names = variable("LISTEN_FDNAMES")?;
    let names: Vec<&str> = names.split(':').collect();
    ensure!(count == names.len().to_string(), "LISTEN_FDS is {count}, LISTEN_FDNAMES {names:?}");
    names.into_iter().zip(FIRST..).map(|(name, descriptor)| describe(name, descriptor)).collect()
}

fn describe(name: &str, descriptor: RawFd) -> Result<Passed> {
    let of = || format!("descriptor {descriptor} ({name})");
    let socket = duplicate(descriptor).with_context(of)?;
    let address = getsockname(&socket).with_context(of)?;
    let address = SocketAddr::try_from(address).with_context(|| format!("{}: not an IP address", of()))?;
    let protocol = match socket_type(&socket).with_context(of)? {
        SocketType::STREAM => Protocol::Tcp,
        SocketType::DGRAM => Protocol::Udp,
        other => bail!("{}: a socket of type {other:?}", of()),
    };
    let listens = socket_acceptconn(&socket).with_context(of)?;
    Ok(Passed { name: name.to_owned(), protocol, port: address.port(), listens })
}

/// Duplicates a descriptor of which only the number is known. Borrowing it by its number would be unsafe; sending it to
/// oneself is not, and the kernel fails if it is not open.
fn duplicate(descriptor: RawFd) -> Result<OwnedFd> {
    let (near, far) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let rights = [ControlMessage::ScmRights(&[descriptor])];
    sendmsg::<()>(near.as_raw_fd(), &[IoSlice::new(&[0])], &rights, MsgFlags::empty(), None)?;
    receive(far.as_fd())
}

fn receive(from: impl AsFd) -> Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(from, &mut [IoSliceMut::new(&mut [0])], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let descriptor = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
        _ => None,
    });
    descriptor.context("no descriptor came")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn a_socket_is_described_by_its_number() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        let found = describe("http", tcp.as_raw_fd()).unwrap();
        assert_eq!(found, wanted(&Socket { name: "http".into(), protocol: Protocol::Tcp, port }));

        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = udp.local_addr().unwrap().port();
        let found = describe("dns", udp.as_raw_fd()).unwrap();
        assert_eq!(found, wanted(&Socket { name: "dns".into(), protocol: Protocol::Udp, port }));
    }

    #[test]
    fn a_descriptor_that_is_no_socket_is_an_error() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(describe("file", file.as_raw_fd()).is_err());
        assert!(describe("closed", RawFd::MAX).is_err());
    }
}
