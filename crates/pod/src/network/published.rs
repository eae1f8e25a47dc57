// SPDX-License-Identifier: Apache-2.0
//! Published ports: ports of the host that lead to ports of a pod.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::protocol::Protocol;
use crate::error::{Error, Result};
use crate::text::escape;

/// One port or a range of them; the host's and the pod's numbers count up together, and all are from 1 to 65535.
///
/// As text: `[ADDRESS:]HOST:POD[/tcp|/udp]`, `[ADDRESS:]FIRST-LAST:FIRST-LAST[/tcp|/udp]`, an IPv6 address in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    address: Option<IpAddr>,
    protocol: Protocol,
    host: u16,
    pod: u16,
    /// The number of ports, less one.
    more: u16,
}

impl Published {
    /// Makes `count` published ports from two first ones; an address that is unspecified means each one of the host.
    ///
    /// # Errors
    /// Fails if one of the numbers is none of a port, or if it can be no address of a host.
    pub fn new(
        address: Option<IpAddr>,
        protocol: Protocol,
        host: u16,
        pod: u16,
        count: usize,
    ) -> Result<Self> {
        let address = address.filter(|address| !address.is_unspecified());
        if let Some(other) = address.filter(IpAddr::is_multicast) {
            return Err(Error::new(format!("{other} is a multicast address: expected one of the host's")));
        }
        let of_a_link = |address: &IpAddr| match address {
            IpAddr::V4(address) => address.is_broadcast(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        if let Some(other) = address.filter(of_a_link) {
            return Err(Error::new(format!(
                "{other} is an address on each link: expected one of the host's"
            )));
        }
        if host == 0 || pod == 0 || count == 0 {
            return Err(Error::new("invalid port number 0: expected 1 to 65535"));
        }
        let last = |first: u16| usize::from(first) + count - 1;
        let above = [host, pod].into_iter().find(|first| last(*first) > usize::from(u16::MAX));
        if let Some(first) = above {
            let last = last(first);
            return Err(Error::new(format!("the last port is {last}: expected 1 to 65535")));
        }
        let more = u16::try_from(count - 1).expect("the last port is a port");
        Ok(Self { address, protocol, host, pod, more })
    }

    /// Returns the host's address that the ports are published on; `None` means all.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Returns the protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Returns the ports, the host's and the pod's.
    pub fn pairs(&self) -> impl Iterator<Item = (u16, u16)> + use<> {
        let (host, pod) = (self.host, self.pod);
        (0..=self.more).map(move |index| (host + index, pod + index))
    }

    /// Returns how many ports there are.
    pub fn count(&self) -> usize {
        usize::from(self.more) + 1
    }

    /// Tells whether a connection to the host could mean both.
    fn overlaps(&self, other: &Self) -> bool {
        let share_address = match (self.address, other.address) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        let (first, last) = (self.host.max(other.host), (self.host + self.more).min(other.host + other.more));
        share_address && self.protocol == other.protocol && first <= last
    }
}

/// Checks that no port of the host is published twice.
///
/// # Errors
/// Fails with the two that have a port in common.
pub fn check_distinct(all: &[Published]) -> Result<()> {
    for (index, one) in all.iter().enumerate() {
        if let Some(other) = all[..index].iter().find(|other| one.overlaps(other)) {
            return Err(Error::new(format!(
                "published ports {other} and {one} have a port of the host in common: expected distinct ones"
            )));
        }
    }
    Ok(())
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            None => {}
            Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
        }
        let range = |first: u16| match self.more {
            0 => first.to_string(),
            more => format!("{first}-{}", first + more),
        };
        write!(f, "{}:{}/{}", range(self.host), range(self.pod), self.protocol)
    }
}

impl FromStr for Published {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let within = |error: Error| error.within(format_args!("published port {}", escape(text)));
        parse(text).unwrap_or_else(|| {
            Err(Error::new("expected [ADDRESS:]HOST:POD[/udp], as 8080:80, 127.0.0.1:53:53/udp or [::1]:8000-8009:80-89"))
        }).map_err(within)
    }
}

/// Returns `None` for what has not even the form.
fn parse(text: &str) -> Option<Result<Published>> {
    let (text, protocol) = match text.split_once('/') {
        None => (text, Protocol::Tcp),
        Some((text, "tcp")) => (text, Protocol::Tcp),
        Some((text, "udp")) => (text, Protocol::Udp),
        Some(_) => return None,
    };
    let (rest, pod) = text.rsplit_once(':')?;
    let (address, host) = match rest.rsplit_once(':') {
        None => (None, rest),
        Some((address, host)) => (Some(address), host),
    };
    let address = match address {
        None => None,
        Some(address) => match bracketed(address) {
            Some(address) => Some(address),
            None => {
                let address = escape(address);
                return Some(Err(Error::new(format!(
                    "invalid address {address}: expected one as 192.0.2.1 or [2001:db8::1]"
                ))));
            }
        },
    };
    Some(build(address, protocol, range(host)?, range(pod)?))
}

fn build(
    address: Option<IpAddr>,
    protocol: Protocol,
    host: (u32, u32),
    pod: (u32, u32),
) -> Result<Published> {
    let number = |number: u32| match u16::try_from(number) {
        Ok(number @ 1..) => Ok(number),
        _ => Err(Error::new(format!("invalid port number {number}: expected 1 to 65535"))),
    };
    let count = |(first, last): (u32, u32)| -> Result<usize> {
        let (first, last) = (number(first)?, number(last)?);
        let more = last.checked_sub(first).ok_or_else(|| {
            Error::new(format!("range {first}-{last} ends before it begins: expected the lower number first"))
        })?;
        Ok(usize::from(more) + 1)
    };
    let (of_host, of_pod) = (count(host)?, count(pod)?);
    if of_host != of_pod {
        return Err(Error::new(format!(
            "{of_host} ports of the host and {of_pod} of the pod: expected as many of each"
        )));
    }
    Published::new(address, protocol, number(host.0)?, number(pod.0)?, of_host)
}

fn bracketed(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[') {
        Some(text) => text.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => text.parse().ok().map(IpAddr::V4),
    }
}

/// Reads `FIRST-LAST`, or a number that is both.
fn range(text: &str) -> Option<(u32, u32)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // What is too large for a number is too large for a port, too.
        is_number.then(|| text.parse().unwrap_or(u32::MAX))
    };
    Some((number(first)?, number(last)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Published {
        text.parse().unwrap()
    }

    #[test]
    fn published_ports_as_people_write_them() {
        for (text, same) in [
            ("8080:80", "8080:80/tcp"),
            ("8080:80/tcp", "8080:80/tcp"),
            ("53:53/udp", "53:53/udp"),
            ("127.0.0.1:8080:80", "127.0.0.1:8080:80/tcp"),
            ("[::1]:8081:80", "[::1]:8081:80/tcp"),
            ("0.0.0.0:1:1", "1:1/tcp"),
            ("[::]:1:1", "1:1/tcp"),
            ("8000-8010:80-90", "8000-8010:80-90/tcp"),
            ("65535:65535", "65535:65535/tcp"),
            ("7-7:8-8", "7:8/tcp"),
        ] {
            assert_eq!(parsed(text).to_string(), same);
            assert_eq!(parsed(same), parsed(text));
        }
        let range = parsed("127.0.0.1:8000-8002:80-82/udp");
        assert_eq!(range.pairs().collect::<Vec<_>>(), [(8000, 80), (8001, 81), (8002, 82)]);
        assert_eq!((range.count(), range.protocol()), (3, Protocol::Udp));
        assert_eq!(range.address(), Some("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        let form =
            "expected [ADDRESS:]HOST:POD[/udp], as 8080:80, 127.0.0.1:53:53/udp or [::1]:8000-8009:80-89";
        for (text, expected) in [
            ("80", form),
            ("", form),
            ("a:80", form),
            ("8080:80/sctp", form),
            ("8080:-80", form),
            ("+80:80", form),
            ("0:80", "invalid port number 0: expected 1 to 65535"),
            ("80:65536", "invalid port number 65536: expected 1 to 65535"),
            ("99999999999:80", "invalid port number 4294967295: expected 1 to 65535"),
            ("8010-8000:80-90", "range 8010-8000 ends before it begins: expected the lower number first"),
            ("8000-8010:80", "11 ports of the host and 1 of the pod: expected as many of each"),
            ("::1:80:80", "invalid address \"::1\": expected one as 192.0.2.1 or [2001:db8::1]"),
            ("[1.2.3.4]:80:80", "invalid address \"[1.2.3.4]\": expected one as 192.0.2.1 or [2001:db8::1]"),
            ("host:80:80", "invalid address \"host\": expected one as 192.0.2.1 or [2001:db8::1]"),
            ("224.0.0.1:80:80", "224.0.0.1 is a multicast address: expected one of the host's"),
            (
                "255.255.255.255:80:80",
                "255.255.255.255 is an address on each link: expected one of the host's",
            ),
            ("[fe80::1]:80:80", "fe80::1 is an address on each link: expected one of the host's"),
        ] {
            let error = text.parse::<Published>().unwrap_err().to_string();
            assert_eq!(error, format!("published port {}: {expected}", escape(text)));
        }
        let error = Published::new(None, Protocol::Tcp, 65_535, 80, 2).unwrap_err().to_string();
        assert_eq!(error, "the last port is 65536: expected 1 to 65535");
    }

    #[test]
    fn a_port_is_published_once() {
        let all = |texts: &[&str]| texts.iter().map(|text| parsed(text)).collect::<Vec<_>>();
        for distinct in [
            &["80:80", "81:80"][..],
            &["80:80", "80:80/udp"],
            &["127.0.0.1:80:80", "[::1]:80:80"],
            &["80-89:1-10", "90:1"],
        ] {
            assert_eq!(check_distinct(&all(distinct)), Ok(()), "{distinct:?}");
        }
        for twice in [
            &["80:80", "80:81"][..],
            &["80:80", "127.0.0.1:80:80"],
            &["80-90:80-90", "1:1", "90:90"],
            &["[::1]:5:5/udp", "[::1]:1-9:1-9/udp"],
        ] {
            assert!(check_distinct(&all(twice)).is_err(), "{twice:?}");
        }
        assert_eq!(
            check_distinct(&all(&["80:80", "127.0.0.1:80:80"])).unwrap_err().to_string(),
            "published ports 80:80/tcp and 127.0.0.1:80:80/tcp have a port of the host in common: expected distinct ones"
        );
    }
}
