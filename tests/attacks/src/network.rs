// SPDX-License-Identifier: Apache-2.0
//! Reaches the host through its network. The suite listens on the host's loopback and on an abstract socket, and has
//! the kernel tell of a device again and again.

use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket};

use crate::attack::{Attack, io_step, step};

pub(crate) const ATTACKS: &[(&str, Attack)] = &[
    ("loopback", || connect(Ipv4Addr::LOCALHOST)),
    ("abstract-socket", abstract_socket),
    ("uevents", uevents),
];

/// The port that the suite listens on.
const PORT: u16 = 4242;
/// The abstract socket that the suite listens on.
const NAME: &str = "gantry-attack";
/// How long an event may take, in milliseconds.
const EVENT: u16 = 1000;

fn connect(address: Ipv4Addr) -> Result<(), String> {
    io_step("connect", TcpStream::connect((address, PORT))).map(drop)
}

fn abstract_socket() -> Result<(), String> {
    let address = io_step("name", SocketAddr::from_abstract_name(NAME))?;
    io_step("connect", UnixStream::connect_addr(&address)).map(drop)
}

/// Waits for what the kernel tells of devices.
fn uevents() -> Result<(), String> {
    let protocol = SockProtocol::NetlinkKObjectUEvent;
    let socket = socket(AddressFamily::Netlink, SockType::Datagram, SockFlag::SOCK_CLOEXEC, protocol);
    let socket = step("socket", socket)?;
    step("bind", bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 1)))?;
    let mut polled = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    match step("poll", poll(&mut polled, PollTimeout::from(EVENT)))? {
        0 => Err("nothing is told".into()),
        _ => Ok(()),
    }
}
