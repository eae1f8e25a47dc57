// SPDX-License-Identifier: Apache-2.0
//! The address at which apps of appc 0.1 look for the metadata service: [`ADDRESS`], port 80.
//!
//! The service listens on a port that no app of the pod needs, and connections to the address are led there. If it
//! listened on port 80 itself, no app could have that port: a socket at one address conflicts with one at every address
//! (ip(7)).

use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;

use pod::manifest::Protocol;
use rustix::net::netlink::NETFILTER;
use sys::namespaces::in_network;

use crate::error::Error;
use crate::firewall::rules::{Block, Chain, Part, Rule};
use crate::firewall::table;
use crate::netlink::socket::Socket;
use crate::plan::{LOOPBACK, LOOPBACK_INDEX};
use crate::route;

/// The address (appc 0.1.1, "Metadata Server").
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 255);
/// HTTP's port.
const PORT: u16 = 80;
/// The table in the pod's network namespace.
const TABLE: &str = "gantry-metadata";

/// Leads connections to [`ADDRESS`] to a port of the loopback, in a pod's network namespace.
///
/// # Errors
/// Fails if the kernel refuses something.
pub fn lead_to(port: u16, namespace: BorrowedFd<'_>) -> Result<(), Error> {
    let kernel = |what: &str, errno| Error::Kernel { what: what.into(), errno };
    let lead = || {
        let links = Socket::open(None).map_err(|errno| kernel("open a netlink socket", errno))?;
        links.all(&[route::address(LOOPBACK, LOOPBACK_INDEX, ADDRESS.into())])?;
        let rules = Socket::open(Some(NETFILTER)).map_err(|errno| Error::NoTables { errno })?;
        table::lead(&rules, TABLE, &rule(port))
    };
    in_network(namespace, lead).map_err(|errno| kernel("enter the pod's network", errno))?
}

fn rule(port: u16) -> Rule {
    Rule {
        chain: Chain::Leaving,
        parts: vec![
            Part::Destination(Block::of(ADDRESS.into())),
            Part::Port(Protocol::Tcp, PORT),
            Part::Redirect(Ipv4Addr::LOCALHOST.into(), port),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_port_of_http_at_that_address_leads_to_the_service() {
        let rule = rule(16_925).to_string();
        assert_eq!(rule, "leaving: ip daddr 169.254.169.255 tcp dport 80 dnat ip to 127.0.0.1:16925");
    }
}
