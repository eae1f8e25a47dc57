// SPDX-License-Identifier: Apache-2.0
//! Hosts of registries: a name or an address, and a port.

use std::fmt;
use std::net::Ipv6Addr;

/// The name of Docker's registry in names of images.
const DOCKER: &str = "docker.io";
/// Its other names. All of them are one registry.
const DOCKERS: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];
/// The host that answers for it.
const DOCKER_API: &str = "registry-1.docker.io";
/// The port of HTTPS. A host with it is the host without it.
const HTTPS: u16 = 443;

/// The host of a registry, canonical: lower-case, without the port of HTTPS, Docker's as `docker.io`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host {
    /// A domain name, an IPv4 address, or an IPv6 address in brackets.
    name: String,
    port: Option<u16>,
}

impl Host {
    /// Parses `NAME[:PORT]`; an error says what was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let end = if text.starts_with('[') { text.find(']').map_or(0, |end| end + 1) } else { 0 };
        let (name, port) = match text[end..].split_once(':') {
            Some((_, port)) => (&text[..text.len() - port.len() - 1], Some(parse_port(port)?)),
            None => (text, None),
        };
        if !is_address(name) && !name.split('.').all(is_label) {
            return Err("a host of letters, digits, \"-\" and \".\"");
        }
        let name = name.to_ascii_lowercase();
        let port = port.filter(|port| *port != HTTPS);
        if port.is_none() && DOCKERS.contains(&name.as_str()) {
            return Ok(Self { name: DOCKER.to_owned(), port });
        }
        Ok(Self { name, port })
    }

    /// Returns the host without its port; an IPv6 address has its brackets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the port, unless it is that of HTTPS.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Tells whether this is Docker's registry.
    pub fn is_docker(&self) -> bool {
        self.name == DOCKER && self.port.is_none()
    }

    /// Returns `NAME[:PORT]` of the server that is asked: `docker.io` itself serves no images.
    pub fn api(&self) -> String {
        if self.is_docker() { DOCKER_API.to_owned() } else { self.to_string() }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

fn parse_port(text: &str) -> Result<u16, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let port = if digits { text.parse().ok() } else { None };
    port.filter(|port| *port > 0).ok_or("a port from 1 to 65535 after the host")
}

fn is_address(name: &str) -> bool {
    let inner = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

fn is_label(label: &str) -> bool {
    let good = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
    !label.is_empty() && label.bytes().all(good) && !label.starts_with('-') && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_has_one_name_and_another_server() {
        for text in ["docker.io", "index.docker.io", "registry-1.docker.io", "DOCKER.io:443"] {
            let host = Host::parse(text).unwrap();
            assert_eq!(
                (host.to_string().as_str(), host.api().as_str()),
                ("docker.io", "registry-1.docker.io")
            );
        }
        let other = Host::parse("docker.io:5000").unwrap();
        assert_eq!((other.is_docker(), other.api().as_str()), (false, "docker.io:5000"));
    }

    #[test]
    fn addresses_of_version_6_stand_in_brackets() {
        let host = Host::parse("[FE80::1]:5000").unwrap();
        assert_eq!((host.name(), host.port()), ("[fe80::1]", Some(5000)));
        assert!(Host::parse("fe80::1").is_err());
        assert!(Host::parse("[::1]x").is_err());
    }
}
