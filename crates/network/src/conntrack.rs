// SPDX-License-Identifier: Apache-2.0
//! Makes the kernel forget where packets for published UDP ports went before.
//!
//! The kernel remembers where it leads packets between two addresses and ports. A client that keeps sending to a
//! published port would reach an earlier pod, or nothing, instead of this one.

use rustix::io::Errno;

use pod::manifest::Protocol;
use pod::network::Published;

use crate::error::Error;
use crate::netlink::answer::attribute;
use crate::netlink::message::{DUMP, Message};
use crate::netlink::socket::{Request, Socket};

/// `NFNL_SUBSYS_CTNETLINK`, `IPCTNL_MSG_CT_*`.
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
/// `CTA_TUPLE_*`, `CTA_PROTO_*`.
const ORIGINAL: u16 = 1;
const PROTOCOL: u16 = 2;
const NUMBER: u16 = 1;
const DESTINATION_PORT: u16 = 3;
const UDP: u8 = 17;
/// The length of the family's header.
const HEADER: usize = 4;

/// Forgets connections to published UDP ports. The socket is one of netfilter's.
pub(crate) fn forget(socket: &Socket, published: &[Published]) -> Result<(), Error> {
    let udp: Vec<_> = published.iter().filter(|ports| ports.protocol() == Protocol::Udp).collect();
    if udp.is_empty() {
        return Ok(());
    }
    let list = Request::new("list connections", Message::new(GET, DUMP, &[0; HEADER]));
    for object in socket.ask(&list)? {
        let Some((original, port)) = destination(&object) else { continue };
        if !udp.iter().any(|ports| ports.pairs().any(|(host, _)| host == port)) {
            continue;
        }
        let message =
            Message::new(DELETE, 0, &[object[0], 0, 0, 0]).nest(ORIGINAL, |message| message.raw(original));
        match socket.all(&[Request::new(format!("forget a connection to port {port}/udp"), message)]) {
            // It has ended meanwhile.
            Err(Error::Kernel { errno: Errno::NOENT, .. }) => {}
            forgotten => forgotten?,
        }
    }
    Ok(())
}

/// Reads how a connection of UDP was begun: the attributes that name it, and its destination's port.
fn destination(object: &[u8]) -> Option<(&[u8], u16)> {
    let original = attribute(object.get(HEADER..)?, ORIGINAL)?;
    let protocol = attribute(original, PROTOCOL)?;
    let port = attribute(protocol, DESTINATION_PORT)?;
    let is_udp = attribute(protocol, NUMBER)?.first() == Some(&UDP);
    is_udp.then_some((original, u16::from_be_bytes(port.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connections_destination_is_read() {
        let tuple = |protocol: u8| {
            Message::new(0, 0, &[2, 0, 0, 0])
                .nest(ORIGINAL, |message| {
                    message.nest(PROTOCOL, |message| {
                        message.bytes(NUMBER, &[protocol]).bytes(DESTINATION_PORT, &53_u16.to_be_bytes())
                    })
                })
                .finish(0)[16..]
                .to_vec()
        };
        assert_eq!(destination(&tuple(UDP)).unwrap().1, 53);
        assert_eq!(destination(&tuple(6)), None);
        assert_eq!(destination(&[]), None);
    }
}
