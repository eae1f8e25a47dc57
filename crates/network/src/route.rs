// SPDX-License-Identifier: Apache-2.0
//! Links, addresses and routes (rtnetlink(7)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::io::Errno;

use crate::error::Error;
use crate::netlink::answer::{attribute, number, text};
use crate::netlink::message::{CREATE, EXCLUSIVE, Message, REPLACE};
use crate::netlink::socket::{Request, Socket};

/// `RTM_*`.
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
/// `IFLA_*` and what is below them.
const NAME: u16 = 3;
const MTU: u16 = 4;
const LINK_INFO: u16 = 18;
const ALIAS: u16 = 20;
const FAMILIES: u16 = 26;
const GROUP: u16 = 27;
const NAMESPACE: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const PEER: u16 = 1;
const ADDRESS_MODE: u16 = 8;
/// `IN6_ADDR_GEN_MODE_NONE`: the kernel gives the link no address by itself.
const MODE_NONE: u8 = 1;
const UP: u32 = 1;
/// `IFA_*`.
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
/// `IFA_F_NODAD`: the address is used at once.
const NO_DETECTION: u8 = 2;
/// `RTA_*`, `RT_*`, `RTN_*`, `RTNH_F_*`, `RTM_F_*`.
const DESTINATION: u16 = 1;
const DEVICE: u16 = 4;
const GATEWAY: u16 = 5;
const PRIORITY: u16 = 6;
const MAIN: u8 = 254;
const LOCAL_TABLE: u8 = 255;
const STATIC: u8 = 4;
const UNIVERSE: u8 = 0;
const LINK_SCOPE: u8 = 253;
const UNICAST: u8 = 1;
const LOCAL_ROUTE: u8 = 2;
const ON_LINK: u32 = 4;
const MATCH: u32 = 0x2000;

/// The priority of a route that is used only where no other fits.
const LAST: u32 = 4096;

/// The lengths of the families' headers.
const LINK_HEADER: usize = 16;
const ROUTE_HEADER: usize = 12;

/// A link of this namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) mtu: u32,
}

/// A route that an address was found to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The length of its prefix; 0 is a default route.
    pub(crate) prefix: u8,
    /// The index of its link, if it has one.
    pub(crate) link: Option<u32>,
}

/// A pair of connected links.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    /// The name of the link here, which is down and has no address.
    pub(crate) name: &'a str,
    /// Its description for people.
    pub(crate) alias: &'a str,
    /// The number of its group; 0 is that of all links.
    pub(crate) group: u32,
    /// The name of the other link.
    pub(crate) peer: &'a str,
    /// The size of the largest packet.
    pub(crate) mtu: u32,
}

/// Asks for a pair of links; the peer is in another namespace.
pub(crate) fn new_pair(pair: Pair<'_>, namespace: BorrowedFd<'_>) -> Request {
    let Pair { name, alias, group, peer, mtu } = pair;
    let namespace = namespace.as_raw_fd().cast_unsigned();
    let message = Message::new(NEW_LINK, CREATE | EXCLUSIVE, &link_header(0, 0))
        .text(NAME, name)
        .text(ALIAS, alias)
        .number(MTU, mtu)
        .number(GROUP, group)
        .nest(LINK_INFO, |message| {
            message.text(INFO_KIND, "veth").nest(INFO_DATA, |message| {
                message.nest(PEER, |message| {
                    message
                        .raw(&link_header(0, 0))
                        .text(NAME, peer)
                        .number(MTU, mtu)
                        .number(NAMESPACE, namespace)
                })
            })
        });
    Request::new(format!("make veth {name}"), message)
}

/// Asks for a link to have no IPv6 address but those that it is given.
pub(crate) fn no_own_addresses(name: &str, index: u32) -> Request {
    let message = Message::new(NEW_LINK, 0, &link_header(index, 0)).nest(FAMILIES, |message| {
        message.nest(u16::from(V6), |message| message.bytes(ADDRESS_MODE, &[MODE_NONE]))
    });
    Request::new(format!("keep the kernel from giving {name} addresses"), message)
}

/// Asks for a link to be up.
pub(crate) fn up(name: &str, index: u32) -> Request {
    Request::new(format!("set {name} up"), Message::new(NEW_LINK, 0, &link_header(index, UP)))
}

/// Asks for a link to be down.
#[cfg(test)]
pub(crate) fn down(name: &str, index: u32) -> Request {
    let mut header = link_header(index, UP);
    header[8..12].fill(0);
    Request::new(format!("set {name} down"), Message::new(NEW_LINK, 0, &header))
}

/// Asks for an address, with nothing else reached by this link.
pub(crate) fn address(name: &str, index: u32, address: IpAddr) -> Request {
    let (bytes, family, prefix) = parts(address);
    let mut header = vec![family, prefix, NO_DETECTION, 0];
    header.extend_from_slice(&index.to_ne_bytes());
    let message =
        Message::new(NEW_ADDRESS, CREATE | EXCLUSIVE, &header).bytes(LOCAL, &bytes).bytes(ADDRESS, &bytes);
    Request::new(format!("give {name} the address {address}"), message)
}

/// Asks for a route to an address that is right behind a link, in place of one that is there: a pod that was killed and starts
/// again has the same address, and the kernel may not have removed the link that it had.
pub(crate) fn route_to(name: &str, index: u32, to: IpAddr) -> Request {
    let (bytes, family, prefix) = parts(to);
    let header = route_header(family, prefix, MAIN, LINK_SCOPE, UNICAST, 0);
    let message =
        Message::new(NEW_ROUTE, CREATE | REPLACE, &header).bytes(DESTINATION, &bytes).number(DEVICE, index);
    Request::new(format!("make the route to {to} on {name}"), message)
}

/// Asks for a default route, by a next hop that is right behind a link.
pub(crate) fn default_route(name: &str, index: u32, gateway: IpAddr) -> Request {
    let (bytes, family, _) = parts(gateway);
    let header = route_header(family, 0, MAIN, UNIVERSE, UNICAST, ON_LINK);
    let message =
        Message::new(NEW_ROUTE, CREATE | EXCLUSIVE, &header).bytes(GATEWAY, &bytes).number(DEVICE, index);
    Request::new(format!("make the default route by {gateway} on {name}"), message)
}

/// Asks for packets to `::1` that come by this link to be the host's.
///
/// The kernel looks for a route to `::1` on the very link that a packet came by (the kernel's net/ipv6/route.c,
/// `rt6_need_strict`). Such packets are answers to connections from `::1`, whose address was changed on the way out; a
/// packet that has the address on the wire is dropped before (`ip6_rcv_core`). Each veth has such a route.
pub(crate) fn loopback_route(name: &str, index: u32) -> Request {
    let (bytes, family, prefix) = parts(IpAddr::V6(Ipv6Addr::LOCALHOST));
    let header = route_header(family, prefix, LOCAL_TABLE, LINK_SCOPE, LOCAL_ROUTE, 0);
    let message = Message::new(NEW_ROUTE, CREATE, &header)
        .bytes(DESTINATION, &bytes)
        .number(DEVICE, index)
        .number(PRIORITY, LAST);
    Request::new(format!("make the route to ::1 on {name}"), message)
}

/// Finds a link by its name.
pub(crate) fn link(socket: &Socket, name: &str) -> Result<Option<Link>, Error> {
    let message = Message::new(GET_LINK, 0, &link_header(0, 0)).text(NAME, name);
    found_link(socket, &Request::new(format!("look for {name}"), message))
}

/// Finds a link by its index.
pub(crate) fn link_at(socket: &Socket, index: u32) -> Result<Option<Link>, Error> {
    let message = Message::new(GET_LINK, 0, &link_header(index, 0));
    found_link(socket, &Request::new(format!("look for link {index}"), message))
}

fn found_link(socket: &Socket, request: &Request) -> Result<Option<Link>, Error> {
    match socket.ask(request) {
        Err(Error::Kernel { errno: Errno::NODEV, .. }) => Ok(None),
        Err(error) => Err(error),
        Ok(objects) => Ok(objects.first().and_then(|object| {
            let mtu = number(attribute(object.get(LINK_HEADER..)?, MTU)?, 0)?;
            Some(Link { index: number(object, 4)?, mtu })
        })),
    }
}

/// Finds the name of a link.
pub(crate) fn name_of(socket: &Socket, index: u32) -> Option<String> {
    let message = Message::new(GET_LINK, 0, &link_header(index, 0));
    let objects = socket.ask(&Request::new(format!("look for link {index}"), message)).ok()?;
    attribute(objects.first()?.get(LINK_HEADER..)?, NAME).map(text)
}

/// Finds the route that the host has to an address.
pub(crate) fn route(socket: &Socket, to: Ipv4Addr) -> Result<Option<Route>, Error> {
    let header = route_header(V4, 32, 0, 0, 0, MATCH);
    let message = Message::new(GET_ROUTE, 0, &header).bytes(DESTINATION, &to.octets());
    match socket.ask(&Request::new(format!("look for a route to {to}"), message)) {
        // No route, or one that says so.
        Err(Error::Kernel { errno: Errno::NETUNREACH, .. }) => Ok(None),
        Err(Error::Kernel { errno: Errno::HOSTUNREACH | Errno::ACCESS | Errno::INVAL, .. }) => {
            Ok(Some(Route { prefix: 32, link: None }))
        }
        Err(error) => Err(error),
        Ok(objects) => Ok(objects.first().and_then(|object| {
            let link = attribute(object.get(ROUTE_HEADER..)?, DEVICE).and_then(|value| number(value, 0));
            Some(Route { prefix: *object.get(1)?, link })
        })),
    }
}

/// `AF_INET`, `AF_INET6`.
const V4: u8 = 2;
const V6: u8 = 10;

/// Returns an address's bytes, its family, and the prefix that is itself alone.
fn parts(address: IpAddr) -> (Vec<u8>, u8, u8) {
    match address {
        IpAddr::V4(address) => (address.octets().to_vec(), V4, 32),
        IpAddr::V6(address) => (address.octets().to_vec(), V6, 128),
    }
}

/// `struct ifinfomsg`: the flags are also the mask of those that change.
fn link_header(index: u32, flags: u32) -> [u8; LINK_HEADER] {
    let mut header = [0; LINK_HEADER];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..].copy_from_slice(&flags.to_ne_bytes());
    header
}

/// `struct rtmsg`.
fn route_header(family: u8, prefix: u8, table: u8, scope: u8, kind: u8, flags: u32) -> [u8; ROUTE_HEADER] {
    let mut header = [family, prefix, 0, 0, table, STATIC, scope, kind, 0, 0, 0, 0];
    header[8..].copy_from_slice(&flags.to_ne_bytes());
    header
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    /// Returns a request's bytes behind the header.
    fn body(request: Request) -> Vec<u8> {
        request.message.finish(0)[16..].to_vec()
    }

    #[test]
    fn requests_have_the_kernels_layout() {
        let pod = IpAddr::V4(Ipv4Addr::new(10, 177, 0, 9));
        let expected =
            [&[2, 32, 2, 0, 3, 0, 0, 0][..], &[8, 0, 2, 0, 10, 177, 0, 9], &[8, 0, 1, 0, 10, 177, 0, 9]];
        assert_eq!(body(address("eth0", 3, pod)), expected.concat());

        let expected = [
            &[2, 32, 0, 0, 254, 4, 253, 1, 0, 0, 0, 0][..],
            &[8, 0, 1, 0, 10, 177, 0, 9],
            &[8, 0, 4, 0, 3, 0, 0, 0],
        ];
        assert_eq!(body(route_to("gantry9", 3, pod)), expected.concat());

        let expected = [
            &[2, 0, 0, 0, 254, 4, 0, 1, 4, 0, 0, 0][..],
            &[8, 0, 5, 0, 169, 254, 77, 1],
            &[8, 0, 4, 0, 2, 0, 0, 0],
        ];
        let host = IpAddr::V4(crate::addresses::HOST_V4);
        assert_eq!(body(default_route("eth0", 2, host)), expected.concat());

        let up = [&[0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0][..]].concat();
        assert_eq!(body(super::up("eth0", 5)), up);
    }

    #[test]
    fn a_pair_is_made_in_two_namespaces() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let fd = std::os::fd::AsFd::as_fd(&null);
        let pair = Pair { name: "gantry9", alias: "pod", group: 7, peer: "eth0", mtu: 1500 };
        let bytes = body(new_pair(pair, fd));
        let attribute = |bytes: &[u8], kind| attribute(bytes, kind).unwrap().to_vec();
        assert_eq!(attribute(&bytes[16..], NAME), b"gantry9\0");
        assert_eq!(attribute(&bytes[16..], GROUP), 7_u32.to_ne_bytes());
        let info = attribute(&bytes[16..], LINK_INFO);
        assert_eq!(attribute(&info, INFO_KIND), b"veth\0");
        let peer = attribute(&attribute(&info, INFO_DATA), PEER);
        assert_eq!(peer[..16], [0; 16]);
        assert_eq!(attribute(&peer[16..], NAME), b"eth0\0");
        assert_eq!(attribute(&peer[16..], NAMESPACE), fd.as_raw_fd().to_ne_bytes());
    }
}
