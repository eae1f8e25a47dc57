// SPDX-License-Identifier: Apache-2.0
//! The pod's metadata service: where it listens, and the token by which apps show that they are of the pod.
//!
//! In a network of the pod's own it listens on the loopback, at a port that no app of the pod has said it needs. With the
//! host's network it has a port of the host's loopback, which `/init` takes before anything of the pod runs.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use network::metadata::ADDRESS;
use pod::Pod;
use pod::manifest::Metadata;
use pod::network::Mode;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with};
use rustix::rand::{GetRandomFlags, getrandom};

use super::Loaded;

/// The first port that is tried in a pod's own network: below those that connections get (`ip_local_port_range`), and
/// assigned to no service (RFC 6335).
const FIRST_PORT: u16 = 16_925;
/// How many connections wait to be accepted: as many as the kernel allows (listen(2)).
const BACKLOG: i32 = -1;
/// Bytes of a token: the specification asks for 16 or more.
const TOKEN: usize = 16;

/// The address and the token by which apps find the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The port of the loopback where it listens.
    pub port: u16,
    /// The form of its address.
    pub form: Form,
}

/// The form of the service's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// 0.8's: the loopback, and a token.
    Token {
        /// The token.
        token: String,
        /// Whether the loopback is the host's.
        on_host: bool,
    },
    /// 0.1's: the conventional address. Only the pod can connect to it, so there is no token.
    Conventional,
}

impl Access {
    /// Returns the value of `AC_METADATA_URL`.
    pub fn url(&self) -> String {
        match &self.form {
            Form::Token { token, .. } => format!("http://{}:{}/{token}", Ipv4Addr::LOCALHOST, self.port),
            Form::Conventional => format!("http://{ADDRESS}"),
        }
    }

    /// Returns the port that connections to the conventional address lead to, if apps look for the service there.
    pub(crate) fn conventional(&self) -> Option<u16> {
        (self.form == Form::Conventional).then_some(self.port)
    }
}

/// Plans the access of a pod that is not started. The token says nothing.
pub(crate) fn preview(loaded: &Loaded) -> Option<Access> {
    is_wanted(&loaded.pod).then(|| access(loaded, FIRST_PORT, "0".repeat(2 * TOKEN)))
}

/// Takes what the service needs: a token, and with the host's network a socket.
pub(crate) fn take(loaded: &Loaded) -> Result<(Option<Access>, Option<OwnedFd>)> {
    if !is_wanted(&loaded.pod) {
        return Ok((None, None));
    }
    let mut bytes = [0; TOKEN];
    fill(&mut bytes)?;
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    if loaded.pod.network.mode != Mode::Host {
        return Ok((Some(access(loaded, FIRST_PORT, token)), None));
    }
    let (socket, port) = on_host().context("cannot listen for the pod's metadata service")?;
    Ok((Some(access(loaded, port, token)), Some(socket)))
}

/// Fills a buffer with random bytes.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<()> {
    // Up to 256 bytes come whole (getrandom(2)).
    getrandom(bytes, GetRandomFlags::empty()).context("cannot get random bytes").map(drop)
}

fn is_wanted(pod: &Pod) -> bool {
    pod.metadata == Metadata::Served
}

fn access(loaded: &Loaded, first: u16, token: String) -> Access {
    let on_host = loaded.pod.network.mode == Mode::Host;
    if on_host {
        return Access { port: first, form: Form::Token { token, on_host } };
    }
    let form = match loaded.documents.is_0_1 {
        true => Form::Conventional,
        false => Form::Token { token, on_host },
    };
    let is_taken = |port: &u16| {
        let sockets = loaded.pod.apps.iter().flat_map(|app| &app.sockets);
        let published = loaded.pod.published.iter().flat_map(pod::network::Published::pairs);
        sockets.map(|socket| socket.port).chain(published.map(|(_, pod)| pod)).any(|other| other == *port)
    };
    let port = (first..=u16::MAX).find(|port| !is_taken(port)).unwrap_or(first);
    Access { port, form }
}

/// Listens on a free port of the host's loopback.
fn on_host() -> Result<(OwnedFd, u16)> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    listen(&socket, BACKLOG)?;
    let address: SocketAddrV4 = getsockname(&socket)?.try_into()?;
    Ok((socket, address.port()))
}
