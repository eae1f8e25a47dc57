// SPDX-License-Identifier: Apache-2.0
//! The rules of a pod's table, as plain data that prints as nft(8) would write it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pod::manifest::Protocol;
use pod::network::Published;

/// The prefix of the names of all pods' veths.
pub const VETHS: &str = "gantry";

/// The group of links (`IFLA_GROUP`) that the veths of pods with aliases are in: such pods reach each other.
pub const KNOWN: u32 = 0x6761_6e74;

/// A chain of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// Packets from the pod, before anything else looks at them.
    Guard,
    /// Packets that are forwarded to the pod.
    Forward,
    /// Connections that come in.
    Arriving,
    /// Connections that the host begins.
    Leaving,
    /// Published ports: `Arriving` and `Leaving` lead to it.
    Published,
    /// Connections on their way out.
    Sources,
}

/// The kernel's hook and priority that a chain is called at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) kind: &'static str,
    pub(super) number: u32,
    pub(super) priority: i32,
}

impl Chain {
    pub(super) const ALL: [Self; 6] =
        [Self::Guard, Self::Forward, Self::Published, Self::Arriving, Self::Leaving, Self::Sources];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::Forward => "forward",
            Self::Arriving => "arriving",
            Self::Leaving => "leaving",
            Self::Published => "published",
            Self::Sources => "sources",
        }
    }

    /// Returns the hook (`NF_INET_*`) and priority (`NF_IP_PRI_*`); a chain without one is only called by others.
    pub(super) fn hook(self) -> Option<Hook> {
        let (kind, number, priority) = match self {
            Self::Guard => ("filter", 0, -300),
            Self::Forward => ("filter", 2, 0),
            Self::Arriving => ("nat", 0, -100),
            Self::Leaving => ("nat", 3, -100),
            Self::Sources => ("nat", 4, 100),
            Self::Published => return None,
        };
        Some(Hook { kind, number, priority })
    }
}

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
}

impl Block {
    const fn v4(address: Ipv4Addr, prefix: u8) -> Self {
        Self { address: IpAddr::V4(address), prefix }
    }

    const fn v6(address: Ipv6Addr, prefix: u8) -> Self {
        Self { address: IpAddr::V6(address), prefix }
    }

    pub(crate) fn of(address: IpAddr) -> Self {
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }
}

/// A part of a rule: a condition, or what is done if all conditions before it hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The packet came by this link.
    From(String),
    /// The packet came by a link of this group.
    FromGroup(u32),
    /// The packet leaves by this link.
    To(String),
    /// The packet leaves by a link whose name does not begin with this.
    ToOtherThan(&'static str),
    /// The packet is of IPv4.
    Ipv4,
    /// The packet is of IPv6.
    Ipv6,
    /// Its source is in the block.
    Source(Block),
    /// Its source is not in the block.
    SourceOtherThan(Block),
    /// Its destination is in the block.
    Destination(Block),
    /// Its destination is an address of the host's, of this family.
    OfHost {
        /// IPv4 or IPv6.
        v6: bool,
    },
    /// It is of this protocol and for this port.
    Port(Protocol, u16),
    /// It belongs to a connection that was let through.
    Known,
    /// It belongs to a connection to a published port.
    Redirected,
    /// The destination becomes this address and port.
    Redirect(IpAddr, u16),
    /// The source becomes the host's address on the link.
    Masquerade,
    /// The packet is dropped.
    Drop,
    /// The packet passes this chain.
    Accept,
    /// The rules of another chain are next.
    Jump(Chain),
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its chain.
    pub chain: Chain,
    /// Its parts, in order.
    pub parts: Vec<Part>,
}

impl Chain {
    /// Tells whether the chain leads connections to published ports to the pod. Without these chains' rules, nothing does.
    pub(crate) fn opens(self) -> bool {
        matches!(self, Self::Arriving | Self::Leaving)
    }
}

const LOOPBACK_V4: Block = Block::v4(Ipv4Addr::new(127, 0, 0, 0), 8);
const LOOPBACK_V6: Block = Block::v6(Ipv6Addr::LOCALHOST, 128);
const UNSPECIFIED_V6: Block = Block::v6(Ipv6Addr::UNSPECIFIED, 128);
const LINK_LOCAL_V6: Block = Block::v6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10);

/// The values that a pod's rules are made of.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The link that the pod is behind.
    pub veth: &'a str,
    /// The pod's addresses.
    pub v4: Ipv4Addr,
    /// It has none if the host has none.
    pub v6: Option<Ipv6Addr>,
    /// The published ports.
    pub published: &'a [Published],
    /// Whether it is one of the pods that reach each other.
    pub is_known: bool,
    /// Whether the host forwards IPv6. If it doesn't, a connection from outside to a published port is refused at
    /// once, by the host itself, instead of timing out.
    pub forwards_v6: bool,
}

/// Returns a pod's rules.
pub fn rules(subject: &Subject<'_>) -> Vec<Rule> {
    let Subject { veth, v4, v6, published, is_known, forwards_v6 } = *subject;
    let mut all = Vec::new();
    let mut add = |chain, parts: Vec<Part>| all.push(Rule { chain, parts });
    let from = || Part::From(veth.into());
    let to = || Part::To(veth.into());
    let addresses: Vec<IpAddr> = [Some(v4.into()), v6.map(Into::into)].into_iter().flatten().collect();

    // The pod reaches nothing of the host's loopback, whatever the host's sysctls allow (CVE-2020-8558), and can't claim
    // to be another.
    add(Chain::Guard, vec![from(), Part::Destination(LOOPBACK_V4), Part::Drop]);
    add(Chain::Guard, vec![from(), Part::SourceOtherThan(Block::of(v4.into())), Part::Drop]);
    let own_v6 = v6.map(|address| Block::of(address.into()));
    for allowed in own_v6.into_iter().chain([LINK_LOCAL_V6, UNSPECIFIED_V6]) {
        add(Chain::Guard, vec![from(), Part::Source(allowed), Part::Accept]);
    }
    add(Chain::Guard, vec![from(), Part::Ipv6, Part::Drop]);

    // Ports that are not published are reached by pods that know each other alone, not by other pods or the host's
    // neighbours.
    add(Chain::Forward, vec![to(), Part::Known, Part::Accept]);
    add(Chain::Forward, vec![to(), Part::Redirected, Part::Accept]);
    if is_known {
        add(Chain::Forward, vec![to(), Part::FromGroup(KNOWN), Part::Accept]);
    }
    add(Chain::Forward, vec![to(), Part::Drop]);

    for ports in published {
        for (host, pod) in ports.pairs() {
            for address in addresses.iter().filter(|address| is_of_family(ports, address)) {
                let destination = match ports.address() {
                    Some(one) => Part::Destination(Block::of(one)),
                    None => Part::OfHost { v6: address.is_ipv6() },
                };
                let parts =
                    vec![destination, Part::Port(ports.protocol(), host), Part::Redirect(*address, pod)];
                add(Chain::Published, parts);
            }
        }
    }
    if !published.is_empty() {
        let from_outside = if forwards_v6 { vec![] } else { vec![Part::Ipv4] };
        add(Chain::Arriving, [from_outside, vec![Part::Jump(Chain::Published)]].concat());
        add(Chain::Leaving, vec![Part::Jump(Chain::Published)]);
    }

    for address in addresses {
        let own = Block::of(address);
        let loopback = if address.is_ipv4() { LOOPBACK_V4 } else { LOOPBACK_V6 };
        // The pod reaches itself by a published port: its answers have to come by the host.
        add(Chain::Sources, vec![to(), Part::Source(own), Part::Masquerade]);
        add(Chain::Sources, vec![to(), Part::Source(loopback), Part::Masquerade]);
        // Other pods see its own address.
        add(Chain::Sources, vec![Part::Source(own), Part::ToOtherThan(VETHS), Part::Masquerade]);
    }
    all
}

/// Tells whether ports are published on addresses of this one's family.
fn is_of_family(ports: &Published, address: &IpAddr) -> bool {
    ports.address().is_none_or(|published| published.is_ipv4() == address.is_ipv4())
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.prefix) {
            (IpAddr::V4(address), 32) => address.fmt(f),
            (IpAddr::V6(address), 128) => address.fmt(f),
            (address, prefix) => write!(f, "{address}/{prefix}"),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = |block: &Block| if block.address.is_ipv4() { "ip" } else { "ip6" };
        match self {
            Self::From(link) => write!(f, "iifname {link}"),
            Self::FromGroup(group) => write!(f, "iifgroup {group:#x}"),
            Self::To(link) => write!(f, "oifname {link}"),
            Self::ToOtherThan(links) => write!(f, "oifname != {links}*"),
            Self::Ipv4 => f.write_str("meta nfproto ipv4"),
            Self::Ipv6 => f.write_str("meta nfproto ipv6"),
            Self::Source(block) => write!(f, "{} saddr {block}", family(block)),
            Self::SourceOtherThan(block) => write!(f, "{} saddr != {block}", family(block)),
            Self::Destination(block) => write!(f, "{} daddr {block}", family(block)),
            Self::OfHost { v6 } => {
                let family = if *v6 { "ipv6" } else { "ipv4" };
                write!(f, "meta nfproto {family} fib daddr type local")
            }
            Self::Port(protocol, port) => write!(f, "{protocol} dport {port}"),
            Self::Known => f.write_str("ct state established,related"),
            Self::Redirected => f.write_str("ct status dnat"),
            Self::Redirect(IpAddr::V4(address), port) => write!(f, "dnat ip to {address}:{port}"),
            Self::Redirect(IpAddr::V6(address), port) => write!(f, "dnat ip6 to [{address}]:{port}"),
            Self::Masquerade => f.write_str("masquerade"),
            Self::Drop => f.write_str("drop"),
            Self::Accept => f.write_str("accept"),
            Self::Jump(chain) => write!(f, "jump {}", chain.name()),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.parts.iter().map(ToString::to_string).collect();
        write!(f, "{}: {}", self.chain.name(), parts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(v6: Option<Ipv6Addr>, published: &[&str]) -> Vec<String> {
        text_of(v6, published, false)
    }

    fn text_of(v6: Option<Ipv6Addr>, published: &[&str], is_known: bool) -> Vec<String> {
        let published: Vec<_> = published.iter().map(|text| text.parse().unwrap()).collect();
        let v4 = Ipv4Addr::new(10, 177, 0, 10);
        let subject =
            Subject { veth: "gantry9", v4, v6, published: &published, is_known, forwards_v6: false };
        rules(&subject).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_pod_that_others_know_lets_them_through_before_it_drops() {
        let all = text_of(None, &[], true);
        let forward: Vec<_> = all.iter().filter(|line| line.starts_with("forward")).collect();
        let expected = [
            "forward: oifname gantry9 ct state established,related accept",
            "forward: oifname gantry9 ct status dnat accept",
            "forward: oifname gantry9 iifgroup 0x67616e74 accept",
            "forward: oifname gantry9 drop",
        ];
        assert_eq!(forward, expected);
    }

    #[test]
    fn a_pod_without_published_ports_reaches_out_and_is_not_reached() {
        let expected = [
            "guard: iifname gantry9 ip daddr 127.0.0.0/8 drop",
            "guard: iifname gantry9 ip saddr != 10.177.0.10 drop",
            "guard: iifname gantry9 ip6 saddr fe80::/10 accept",
            "guard: iifname gantry9 ip6 saddr :: accept",
            "guard: iifname gantry9 meta nfproto ipv6 drop",
            "forward: oifname gantry9 ct state established,related accept",
            "forward: oifname gantry9 ct status dnat accept",
            "forward: oifname gantry9 drop",
            "sources: oifname gantry9 ip saddr 10.177.0.10 masquerade",
            "sources: oifname gantry9 ip saddr 127.0.0.0/8 masquerade",
            "sources: ip saddr 10.177.0.10 oifname != gantry* masquerade",
        ];
        assert_eq!(text(None, &[]), expected);
    }

    #[test]
    fn published_ports_lead_to_the_pod_in_both_families() {
        let v6 = Some("fd67::9".parse().unwrap());
        let all = text(v6, &["8000-8001:80-81", "127.0.0.1:53:53/udp", "[::1]:53:53/udp"]);
        let published: Vec<_> = all.iter().filter(|line| line.starts_with("published")).collect();
        let expected = [
            "published: meta nfproto ipv4 fib daddr type local tcp dport 8000 dnat ip to 10.177.0.10:80",
            "published: meta nfproto ipv6 fib daddr type local tcp dport 8000 dnat ip6 to [fd67::9]:80",
            "published: meta nfproto ipv4 fib daddr type local tcp dport 8001 dnat ip to 10.177.0.10:81",
            "published: meta nfproto ipv6 fib daddr type local tcp dport 8001 dnat ip6 to [fd67::9]:81",
            "published: ip daddr 127.0.0.1 udp dport 53 dnat ip to 10.177.0.10:53",
            "published: ip6 daddr ::1 udp dport 53 dnat ip6 to [fd67::9]:53",
        ];
        assert_eq!(published, expected);
        for line in [
            "arriving: meta nfproto ipv4 jump published",
            "leaving: jump published",
            "guard: iifname gantry9 ip6 saddr fd67::9 accept",
            "sources: oifname gantry9 ip6 saddr ::1 masquerade",
        ] {
            assert!(all.iter().any(|other| other == line), "{line}");
        }
    }
}
