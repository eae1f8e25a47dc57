// SPDX-License-Identifier: Apache-2.0
//! The resolver's configuration in a pod (resolv.conf(5)): the host's, without what a pod can't reach.
//!
//! A nameserver on loopback is the host's own and out of a pod's reach. Programs that run one there, systemd-resolved
//! and NetworkManager, write down in another file which servers they ask. No server is ever made up: if the host has
//! none, its pods have none.

use std::fmt::Write as _;
use std::net::IpAddr;

/// The resolver's configuration.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The files in which programs that serve names on loopback list the servers they ask, in the form of resolv.conf.
pub const UPSTREAM: [&str; 2] = ["/run/systemd/resolve/resolv.conf", "/run/NetworkManager/resolv.conf"];

/// The servers that the C libraries ask at most (resolv.h, `MAXNS`).
const SERVERS_MAX: usize = 3;

/// A configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The servers, in order.
    pub servers: Vec<IpAddr>,
    /// The domains that names are looked for in.
    pub search: Vec<String>,
    /// Options, as `ndots:2`.
    pub options: Vec<String>,
}

/// The command line's settings of names, which replace the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The servers.
    pub servers: Vec<IpAddr>,
    /// The domains.
    pub search: Vec<String>,
}

/// Reads a configuration. What can't be read is left out, as the C libraries do.
pub fn parse(text: &str) -> Configuration {
    let mut all = Configuration::default();
    for line in text.lines() {
        let mut words = line.split(['#', ';']).next().unwrap_or_default().split_ascii_whitespace();
        match words.next() {
            // A server with a zone is on a link of the host's; it does not parse.
            Some("nameserver") => {
                all.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()))
            }
            // The last line counts.
            Some("search" | "domain") => all.search = words.map(str::to_owned).collect(),
            Some("options") => all.options.extend(words.map(str::to_owned)),
            _ => {}
        }
    }
    all
}

/// Returns the configuration of a pod with a network of its own, and a warning if no name will resolve.
///
/// `upstream` are the contents of those files of [`UPSTREAM`] that are there.
pub fn for_pod(host: &str, upstream: &[String], asked: &Asked) -> (Configuration, Option<&'static str>) {
    let reachable = |text: &str| {
        let mut read = parse(text);
        read.servers.retain(is_reachable);
        read
    };
    let mut all = reachable(host);
    if all.servers.is_empty() {
        let found = upstream.iter().map(|text| reachable(text)).find(|read| !read.servers.is_empty());
        if let Some(found) = found {
            all.servers = found.servers;
            if all.search.is_empty() {
                all.search = found.search;
            }
        }
    }
    if !asked.servers.is_empty() {
        all.servers.clone_from(&asked.servers);
    }
    if !asked.search.is_empty() {
        all.search.clone_from(&asked.search);
    }
    all.servers.truncate(SERVERS_MAX);
    let warning = all.servers.is_empty().then_some(
        "no names resolve in the pod: /etc/resolv.conf has no nameserver that a pod can reach: expected one, or --dns=ADDRESS",
    );
    (all, warning)
}

/// Tells whether a pod can reach a server: it is not on loopback and not on one of the host's links.
fn is_reachable(server: &IpAddr) -> bool {
    match server {
        IpAddr::V4(server) => !server.is_loopback() && !server.is_unspecified(),
        IpAddr::V6(server) => {
            !server.is_loopback() && !server.is_unspecified() && !server.is_unicast_link_local()
        }
    }
}

/// Writes a configuration as a file.
pub fn render(configuration: &Configuration) -> String {
    let Configuration { servers, search, options } = configuration;
    let mut text = String::new();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    for (word, list) in [("search", search), ("options", options)] {
        if !list.is_empty() {
            let _ = writeln!(text, "{word} {}", list.join(" "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(host: &str, upstream: &[&str], asked: &Asked) -> (String, bool) {
        let upstream: Vec<_> = upstream.iter().map(|text| (*text).to_owned()).collect();
        let (configuration, warning) = for_pod(host, &upstream, asked);
        (render(&configuration), warning.is_some())
    }

    #[test]
    fn servers_that_a_pod_reaches_are_kept_in_order() {
        let host = "# made by hand\nnameserver 192.0.2.53 # first\nnameserver 127.0.0.1\nnameserver fe80::1%eth0\n\
                    nameserver 2001:db8::53\nnameserver oops\ndomain old.example\nsearch a.example b.example\n\
                    options ndots:2\noptions edns0\nsortlist 1.2.3.4\n";
        let expected = "nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch a.example b.example\noptions ndots:2 edns0\n";
        assert_eq!(text(host, &["nameserver 198.51.100.1"], &Asked::default()), (expected.into(), false));
    }

    #[test]
    fn a_server_on_loopback_is_replaced_by_those_that_it_asks() {
        let stub = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n";
        let upstream = ["nameserver ::1\n", "nameserver 192.0.2.1\nsearch lan\n"];
        let expected = "nameserver 192.0.2.1\nsearch .\noptions edns0 trust-ad\n";
        assert_eq!(text(stub, &upstream, &Asked::default()), (expected.into(), false));
        let none = "nameserver 127.0.0.53";
        let expected = "nameserver 192.0.2.1\nsearch lan\n";
        assert_eq!(text(none, &upstream, &Asked::default()), (expected.into(), false));
    }

    #[test]
    fn where_nothing_is_left_nothing_is_made_up() {
        assert_eq!(text("nameserver 127.0.0.1\n", &[], &Asked::default()), (String::new(), true));
        assert_eq!(text("", &["nameserver 127.0.0.1"], &Asked::default()), (String::new(), true));
    }

    #[test]
    fn what_is_asked_for_counts() {
        let asked = Asked {
            servers: ["127.0.0.1", "::1", "192.0.2.1", "192.0.2.2"].map(|one| one.parse().unwrap()).to_vec(),
            search: vec!["c.example".into()],
        };
        let expected =
            "nameserver 127.0.0.1\nnameserver ::1\nnameserver 192.0.2.1\nsearch c.example\noptions rotate\n";
        let host = "nameserver 192.0.2.9\nsearch a.example\noptions rotate\n";
        assert_eq!(text(host, &[], &asked), (expected.into(), false));
    }
}
