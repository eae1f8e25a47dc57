// SPDX-License-Identifier: Apache-2.0
//! The plan of a pod's network: what is made in the host's network namespace and in the pod's, as plain data.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pod::id::PodId;
use pod::network::Published;

use crate::addresses::{GATEWAY_V6, HOST_V4, HOST_V6};
use crate::firewall::rules::{Rule, Subject, VETHS, rules};
use crate::netlink::socket::Request;
use crate::route;

/// The pod's link, in the pod.
pub const POD_LINK: &str = "eth0";
pub(crate) const LOOPBACK: &str = "lo";
/// The index of loopback in each network namespace (the kernel's include/net/net_namespace.h, `LOOPBACK_IFINDEX`).
pub(crate) const LOOPBACK_INDEX: u32 = 1;

/// The sysctls of each network of a pod's own. Low ports and echo requests are for all of the pod's users, whichever
/// ids they have.
pub(crate) const POD_SYSCTLS: [(&str, &str); 2] =
    [("ipv4/ip_unprivileged_port_start", "0"), ("ipv4/ping_group_range", "0 2147483647")];

/// The network of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The pod.
    pub pod: PodId,
    /// A number that no other running pod has.
    pub number: u32,
    /// The pod's IPv4 address.
    pub v4: Ipv4Addr,
    /// The pod's IPv6 address, if the host has IPv6.
    pub v6: Option<Ipv6Addr>,
    /// The size of the largest packet.
    pub mtu: u32,
    /// The published ports.
    pub published: Vec<Published>,
    /// Whether it is one of the pods that reach each other.
    pub is_known: bool,
    /// Whether the host forwards IPv6.
    pub forwards_v6: bool,
    /// How many bytes a second it may send, and receive.
    pub rate: Option<u64>,
}

impl Plan {
    /// Returns the name of the veth on the host, which is also that of the `nf_tables` table.
    pub fn veth(&self) -> String {
        veth(self.number)
    }

    /// Returns the pod's addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        [Some(IpAddr::V4(self.v4)), self.v6.map(IpAddr::V6)].into_iter().flatten()
    }

    /// Returns the rules of the pod's table.
    pub fn rules(&self) -> Vec<Rule> {
        let Self { v4, v6, published, is_known, forwards_v6, .. } = self;
        let (veth, v4, v6) = (self.veth(), *v4, *v6);
        let (is_known, forwards_v6) = (*is_known, *forwards_v6);
        rules(&Subject { veth: &veth, v4, v6, published, is_known, forwards_v6 })
    }

    /// Returns the sysctls of the veth on the host. They go with it.
    pub(crate) fn host_sysctls(&self) -> Vec<(String, &'static str)> {
        let veth = self.veth();
        let v4 = [
            ("route_localnet", "1"),
            ("forwarding", "1"),
            ("accept_redirects", "0"),
            ("send_redirects", "0"),
        ];
        // A pod tells the host nothing about routes.
        let v6 = [("accept_ra", "0"), ("accept_redirects", "0")];
        let of = |family: &str, (name, value): (&str, &'static str)| {
            (format!("{family}/conf/{veth}/{name}"), value)
        };
        let v4 = v4.into_iter().map(|one| of("ipv4", one));
        let v6 = v6.into_iter().filter(|_| self.v6.is_some()).map(|one| of("ipv6", one));
        v4.chain(v6).collect()
    }

    /// Returns the sysctls of the pod.
    pub(crate) fn pod_sysctls(&self) -> Vec<(String, &'static str)> {
        let mut all = POD_SYSCTLS.map(|(name, value)| (name.to_owned(), value)).to_vec();
        if self.v6.is_some() {
            for (name, value) in [("disable_ipv6", "0"), ("accept_dad", "0"), ("accept_ra", "0")] {
                all.push((format!("ipv6/conf/{POD_LINK}/{name}"), value));
            }
        }
        all
    }

    /// Returns the requests about the veth on the host. Its index is known only once it is there.
    pub(crate) fn host_requests(&self, index: u32) -> Vec<Request> {
        let veth = self.veth();
        let mut all = vec![];
        if self.v6.is_some() {
            all.push(route::no_own_addresses(&veth, index));
        }
        all.push(route::address(&veth, index, HOST_V4.into()));
        if self.v6.is_some() {
            all.push(route::address(&veth, index, HOST_V6.into()));
            all.push(route::address(&veth, index, GATEWAY_V6.into()));
        }
        all.push(route::up(&veth, index));
        all.extend(self.addresses().map(|address| route::route_to(&veth, index, address)));
        if self.v6.is_some() {
            all.push(route::loopback_route(&veth, index));
        }
        all
    }

    /// Returns the requests about the pod's own link.
    pub(crate) fn pod_requests(&self, index: u32) -> Vec<Request> {
        let mut all = vec![route::up(LOOPBACK, LOOPBACK_INDEX)];
        all.extend(self.addresses().map(|address| route::address(POD_LINK, index, address)));
        all.push(route::up(POD_LINK, index));
        all.push(route::default_route(POD_LINK, index, HOST_V4.into()));
        if self.v6.is_some() {
            all.push(route::default_route(POD_LINK, index, GATEWAY_V6.into()));
        }
        all
    }
}

/// Returns the name of the veth of a pod with this number.
pub(crate) fn veth(number: u32) -> String {
    format!("{VETHS}{number}")
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "veth {} to {POD_LINK}, mtu {}", self.veth(), self.mtu)?;
        for address in self.addresses() {
            writeln!(f, "address {address}")?;
        }
        for published in &self.published {
            writeln!(f, "published {published}")?;
        }
        if let Some(rate) = self.rate {
            writeln!(f, "at most {rate} bytes a second, each way")?;
        }
        for (name, value) in self.host_sysctls() {
            writeln!(f, "host net.{} = {value}", name.replace('/', "."))?;
        }
        for (name, value) in self.pod_sysctls() {
            writeln!(f, "pod net.{} = {value}", name.replace('/', "."))?;
        }
        self.rules().iter().try_for_each(|rule| writeln!(f, "{rule}"))
    }
}
