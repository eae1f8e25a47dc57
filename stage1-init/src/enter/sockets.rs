// SPDX-License-Identifier: Apache-2.0
//! The sockets that apps are started with (appc spec, ports, `socketActivated`).
//!
//! `/init` opens them before anything of the pod runs, so an unavailable port is reported to the caller. They are
//! bound to every address of the host, of both families if the host has IPv6.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use pod::Socket;
use pod::manifest::Protocol;
use rustix::io::{Errno, Result as Called};
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

/// How many connections wait to be accepted: as many as the kernel allows (listen(2)).
const BACKLOG: i32 = -1;

/// Opens the sockets, in this order.
pub(crate) fn open(sockets: &[Socket]) -> Result<Vec<OwnedFd>> {
    let one = |wanted: &Socket| {
        let Socket { name, protocol, port } = wanted;
        open_one(wanted).with_context(|| format!("port {name}: cannot listen on {protocol} {port}"))
    };
    sockets.iter().map(one).collect()
}

fn open_one(wanted: &Socket) -> Called<OwnedFd> {
    let kind = match wanted.protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let opened = match socket_with(AddressFamily::INET6, kind, SocketFlags::CLOEXEC, None) {
        Ok(opened) => {
            set_ipv6_v6only(&opened, false)?;
            prepare(&opened, wanted.protocol)?;
            let any = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, wanted.port, 0, 0);
            match bind(&opened, &any) {
                // The kernel has IPv6, but it is disabled.
                Err(Errno::ADDRNOTAVAIL) => open_v4(kind, wanted)?,
                bound => bound.map(|()| opened)?,
            }
        }
        Err(Errno::AFNOSUPPORT) => open_v4(kind, wanted)?,
        Err(error) => return Err(error),
    };
    if wanted.protocol == Protocol::Tcp {
        listen(&opened, BACKLOG)?;
    }
    Ok(opened)
}

fn open_v4(kind: SocketType, wanted: &Socket) -> Called<OwnedFd> {
    let opened = socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None)?;
    prepare(&opened, wanted.protocol)?;
    let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, wanted.port);
    bind(&opened, &any)?;
    Ok(opened)
}

/// Lets a listener reuse the port of an earlier one whose connections linger (socket(7), `SO_REUSEADDR`).
///
/// For datagrams, that option would let two pods have the same port.
fn prepare(opened: &OwnedFd, protocol: Protocol) -> Called<()> {
    match protocol {
        Protocol::Tcp => set_socket_reuseaddr(opened, true),
        Protocol::Udp => Ok(()),
    }
}
