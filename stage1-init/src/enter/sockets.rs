// SPDX-License-Identifier: Apache-2.0
//! The sockets that apps are started with (appc spec, ports, `socketActivated`).
//!
//! `/init` opens them before anything of the pod runs, so an unavailable port is reported to the caller. They are
//! bound to every address of the host, of both families if the host has IPv6.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, bind, listen, setsockopt, socket,
    sockopt,
};
use pod::Socket;
use pod::manifest::Protocol;

/// Opens the sockets, in this order.
pub(crate) fn open(sockets: &[Socket]) -> Result<Vec<OwnedFd>> {
    let one = |wanted: &Socket| {
        let Socket { name, protocol, port } = wanted;
        open_one(wanted).with_context(|| format!("port {name}: cannot listen on {protocol} {port}"))
    };
    sockets.iter().map(one).collect()
}

fn open_one(wanted: &Socket) -> nix::Result<OwnedFd> {
    let kind = match wanted.protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
    };
    let opened = match socket(AddressFamily::Inet6, kind, SockFlag::SOCK_CLOEXEC, None) {
        Ok(opened) => {
            setsockopt(&opened, sockopt::Ipv6V6Only, &false)?;
            prepare(&opened, wanted.protocol)?;
            let any = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, wanted.port, 0, 0);
            match bind(opened.as_raw_fd(), &SockaddrIn6::from(any)) {
                // The kernel has IPv6, but it is disabled.
                Err(Errno::EADDRNOTAVAIL) => open_v4(kind, wanted)?,
                bound => bound.map(|()| opened)?,
            }
        }
        Err(Errno::EAFNOSUPPORT) => open_v4(kind, wanted)?,
        Err(error) => return Err(error),
    };
    if wanted.protocol == Protocol::Tcp {
        listen(&opened, Backlog::MAXALLOWABLE)?;
    }
    Ok(opened)
}

fn open_v4(kind: SockType, wanted: &Socket) -> nix::Result<OwnedFd> {
    let opened = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None)?;
    prepare(&opened, wanted.protocol)?;
    let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, wanted.port);
    bind(opened.as_raw_fd(), &SockaddrIn::from(any))?;
    Ok(opened)
}

/// Lets a listener reuse the port of an earlier one whose connections linger (socket(7), `SO_REUSEADDR`).
///
/// For datagrams, that option would let two pods have the same port.
fn prepare(opened: &OwnedFd, protocol: Protocol) -> nix::Result<()> {
    match protocol {
        Protocol::Tcp => setsockopt(opened, sockopt::ReuseAddr, &true),
        Protocol::Udp => Ok(()),
    }
}
