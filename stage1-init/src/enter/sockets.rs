// SPDX-License-Identifier: Apache-2.0
//! The sockets that apps are started with (appc spec, ports, `socketActivated`).
//!
//! The caller may pass them. Otherwise, `/init` opens them before anything of the pod runs, so an unavailable port is reported to the caller. They are
//! bound to every address of the host, of both families if the host has IPv6.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use anyhow::{Context, Result};
use pod::Socket;
use pod::manifest::Protocol;
use pod::text::escape;
use rustix::io::{Errno, Result as Called};
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr, socket_acceptconn, socket_type};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with};
use sys::activation;

use crate::failure::warn;

/// How many connections wait to be accepted: as many as the kernel allows (listen(2)).
const BACKLOG: i32 = -1;

/// The sockets that the caller has passed (sd_listen_fds(3)): those of a unit that starts the pod, for example. They are
/// open for as long as the pod runs.
#[derive(Debug)]
pub(crate) struct Given(Vec<(String, OwnedFd)>);

impl Given {
    /// Takes the sockets that are for this process. To be called once, before anything is opened.
    pub(crate) fn take() -> Self {
        let said = |name| std::env::var(name).ok();
        let is_for_this = said("LISTEN_PID").is_some_and(|id| id == std::process::id().to_string());
        let count = said("LISTEN_FDS").filter(|_| is_for_this).and_then(|count| count.parse().ok());
        let names = said("LISTEN_FDNAMES").unwrap_or_default();
        let names = names.split(':').map(str::to_owned).chain(std::iter::repeat(String::new()));
        let all = names.zip(0..count.unwrap_or(0u16));
        Self(all.filter_map(|(name, index)| Some((name, activation::take(index).ok()?))).collect())
    }

    /// Returns the numbers of their descriptors.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.0.iter().map(|(_, socket)| socket.as_raw_fd())
    }

    /// Returns the index of the one for a port: that of its name, or else the one that is bound to it.
    fn find(&self, wanted: &Socket) -> Option<usize> {
        let named = self
            .0
            .iter()
            .position(|(name, socket)| name == wanted.name.as_str() && is_of(socket, wanted.protocol));
        let is_bound = |(_, socket): &(String, OwnedFd)| {
            is_of(socket, wanted.protocol) && port(socket) == Some(wanted.port)
        };
        named.or_else(|| self.0.iter().position(is_bound))
    }
}

/// Opens the sockets, in this order. Takes what the caller has `given` where it is for one of these ports.
pub(crate) fn open(sockets: &[Socket], given: &Given) -> Result<Vec<OwnedFd>> {
    let mut unused: BTreeSet<_> = (0..given.0.len()).collect();
    let mut one = |wanted: &Socket| -> Result<OwnedFd> {
        let Socket { name, protocol, port } = wanted;
        let Some(index) = given.find(wanted) else {
            return open_one(wanted)
                .with_context(|| format!("port {name}: cannot listen on {protocol} {port}"));
        };
        unused.remove(&index);
        given.0[index].1.try_clone().with_context(|| format!("port {name}: cannot take the caller's socket"))
    };
    let all = sockets.iter().map(&mut one).collect();
    for index in unused {
        let (name, socket) = &given.0[index];
        let port = port(socket).map(|port| format!(" of port {port}")).unwrap_or_default();
        warn(&format!(
            "no app takes the caller's socket {}{port}: expected a port with socketActivated and its name or number",
            escape(name)
        ));
    }
    all
}

/// Tells whether a socket takes connections, or is for datagrams, as a port's protocol needs it.
fn is_of(socket: &OwnedFd, protocol: Protocol) -> bool {
    match protocol {
        Protocol::Tcp => {
            socket_type(socket) == Ok(SocketType::STREAM) && socket_acceptconn(socket) == Ok(true)
        }
        Protocol::Udp => socket_type(socket) == Ok(SocketType::DGRAM),
    }
}

/// Returns the port that a socket is bound to.
fn port(socket: &OwnedFd) -> Option<u16> {
    let address = getsockname(socket).ok()?;
    Some(SocketAddr::try_from(address).ok()?.port())
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
