// SPDX-License-Identifier: Apache-2.0
//! Addresses: of the host's ends of all veths, and of pods.
//!
//! An IPv4 address of a pod is by its *number*, which no other running pod of the host has. An IPv6 address is by
//! its id: a unique local one (RFC 4193), with 64 random bits.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use pod::id::PodId;
use pod::{Error, text::escape};

/// The host's address on each veth: link-local, so that it is in no range of anybody's (RFC 3927).
pub const HOST_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 77, 1);
/// The host's address on each veth that pods can call it by.
pub const HOST_V6: Ipv6Addr = Ipv6Addr::new(0xfd67, 0x616e, 0x7472, 0, 0, 0, 0, 1);
/// The next hop of pods.
pub(crate) const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// The ranges of pods' addresses. The first of them that no route of the host's covers is used.
const RANGES: [Range; 3] = [
    Range { first: Ipv4Addr::new(10, 177, 0, 0), prefix: 18 },
    Range { first: Ipv4Addr::new(172, 30, 64, 0), prefix: 18 },
    Range { first: Ipv4Addr::new(192, 168, 192, 0), prefix: 18 },
];

/// The numbers of hosts in 256 addresses: those that end with 0 or 255 are left out, which some programs refuse.
const PER_BLOCK: u32 = 254;

/// A range of IPv4 addresses for pods, `10.177.0.0/18`: of 4 to 65536 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    first: Ipv4Addr,
    prefix: u8,
}

impl Range {
    /// Returns the usual ranges, the best one first.
    pub fn usual() -> Vec<Self> {
        RANGES.to_vec()
    }

    /// Returns how many pods can have an address of it.
    pub fn capacity(&self) -> u32 {
        match self.prefix {
            prefix @ ..=24 => (1 << (24 - prefix)) * PER_BLOCK,
            prefix => (1 << (32 - prefix)) - 2,
        }
    }

    /// Returns the address of a number below its capacity.
    pub(crate) fn address(&self, number: u32) -> Ipv4Addr {
        let host = number / PER_BLOCK * 256 + number % PER_BLOCK + 1;
        Ipv4Addr::from_bits(self.first.to_bits() | host)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl FromStr for Range {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let read = || {
            let (first, prefix) = text.split_once('/')?;
            let (first, prefix) = (first.parse::<Ipv4Addr>().ok()?, prefix.parse::<u8>().ok()?);
            let fits =
                (16..=30).contains(&prefix) && first.to_bits().trailing_zeros() >= 32 - u32::from(prefix);
            let usable = !first.is_loopback() && !first.is_multicast() && !first.is_unspecified();
            (fits && usable).then_some(Self { first, prefix })
        };
        read().ok_or_else(|| {
            Error::new(format!(
                "invalid range of addresses {}: expected one as 10.177.0.0/18, of /16 to /30",
                escape(text)
            ))
        })
    }
}

/// Returns the number at which to begin the search for a free one.
pub(crate) fn preferred(pod: PodId, range: &Range) -> u32 {
    let folded = bits(pod) % u128::from(range.capacity());
    u32::try_from(folded).expect("it is below the capacity")
}

/// Returns a pod's IPv6 address.
pub fn v6(pod: PodId) -> Ipv6Addr {
    const NETWORK: u128 = HOST_V6.to_bits() >> 80 << 80;
    Ipv6Addr::from_bits(NETWORK | (bits(pod) & ((1 << 80) - 1)))
}

fn bits(pod: PodId) -> u128 {
    u128::from_str_radix(&pod.machine_id(), 16).expect("it is 32 hex digits")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_number_has_an_address_of_its_own_in_the_range() {
        for range in Range::usual() {
            let all: BTreeSet<_> = (0..range.capacity()).map(|number| range.address(number)).collect();
            assert_eq!(all.len(), usize::try_from(range.capacity()).unwrap());
            let inside = |address: &Ipv4Addr| address.to_bits() >> 14 == range.first.to_bits() >> 14;
            assert!(all.iter().all(inside));
            assert!(all.iter().all(|address| !matches!(address.octets()[3], 0 | 255)));
            assert_eq!(range.to_string().parse(), Ok(range));
        }
        let range: Range = "10.1.2.0/24".parse().unwrap();
        assert_eq!((range.capacity(), range.address(253)), (254, Ipv4Addr::new(10, 1, 2, 254)));
        let range: Range = "10.1.2.8/29".parse().unwrap();
        assert_eq!((range.capacity(), range.address(5)), (6, Ipv4Addr::new(10, 1, 2, 14)));
    }

    #[test]
    fn ranges_that_are_none_are_refused() {
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/15",
            "10.0.0.0/31",
            "10.0.0.1/24",
            "127.0.0.0/24",
            "0.0.0.0/16",
            "fd00::/64",
        ] {
            let error = text.parse::<Range>().unwrap_err().to_string();
            assert!(error.starts_with("invalid range of addresses"), "{error}");
        }
    }

    #[test]
    fn a_pods_addresses_are_by_its_id() {
        let pod: PodId = "6ba7b810-9dad-41d1-80b4-00c04fd430c8".parse().unwrap();
        assert_eq!(v6(pod).to_string(), "fd67:616e:7472:41d1:80b4:c0:4fd4:30c8");
        assert_ne!(v6(pod), HOST_V6);
        assert!(preferred(pod, &RANGES[0]) < RANGES[0].capacity());
    }
}
