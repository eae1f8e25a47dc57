// SPDX-License-Identifier: Apache-2.0
//! The hosts file in a pod (hosts(5)): the pod's own name always resolves, whatever an image brings along.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::addresses::{HOST_V4, HOST_V6};

/// The name by which a pod calls its host.
pub const HOST: &str = "host.gantry.internal";

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The address.
    pub address: IpAddr,
    /// Its names, the first one being the canonical one.
    pub names: Vec<String>,
}

impl Entry {
    fn new(address: impl Into<IpAddr>, names: &[&str]) -> Self {
        Self { address: address.into(), names: names.iter().map(|name| (*name).to_owned()).collect() }
    }
}

/// Returns the lines of a pod with these addresses; without one, its name is one of loopback's (Debian policy).
pub fn entries(name: &str, addresses: &[IpAddr]) -> Vec<Entry> {
    let mut all = vec![
        Entry::new(Ipv4Addr::LOCALHOST, &["localhost"]),
        Entry::new(Ipv6Addr::LOCALHOST, &["localhost", "ip6-localhost", "ip6-loopback"]),
    ];
    if addresses.is_empty() {
        all.push(Entry::new(Ipv4Addr::new(127, 0, 1, 1), &[name]));
    }
    for address in addresses {
        let host: IpAddr = if address.is_ipv4() { HOST_V4.into() } else { HOST_V6.into() };
        all.push(Entry::new(*address, &[name]));
        all.push(Entry::new(host, &[HOST]));
    }
    all
}

/// Completes the text of a hosts file: its lines are kept, and entries of names that it lacks are added.
pub fn complete(text: &str, entries: &[Entry]) -> String {
    let there: BTreeSet<_> = text.lines().flat_map(|line| words(line).skip(1)).collect();
    // A file without entries counts as missing.
    let mut completed = if there.is_empty() { String::new() } else { text.to_owned() };
    if !completed.is_empty() && !completed.ends_with('\n') {
        completed.push('\n');
    }
    for Entry { address, names } in entries {
        let missing: Vec<_> = names.iter().map(String::as_str).filter(|name| !there.contains(name)).collect();
        if !missing.is_empty() {
            let _ = writeln!(completed, "{address} {}", missing.join(" "));
        }
    }
    completed
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split('#').next().unwrap_or_default().split_ascii_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_pod() -> Vec<Entry> {
        entries("gantry-1", &["10.177.0.9".parse().unwrap(), "fd67::9".parse().unwrap()])
    }

    const WHOLE: &str = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n10.177.0.9 gantry-1\n\
                         169.254.77.1 host.gantry.internal\nfd67::9 gantry-1\nfd67:616e:7472::1 host.gantry.internal\n";

    #[test]
    fn a_file_that_says_nothing_is_as_good_as_none() {
        for nothing in ["", "\n", "# managed\n\n", "127.0.0.1\n"] {
            assert_eq!(complete(nothing, &of_pod()), WHOLE);
        }
        assert!(complete("", &entries("gantry-1", &[])).ends_with("127.0.1.1 gantry-1\n"));
    }

    #[test]
    fn an_images_lines_are_kept_and_the_pods_name_is_added() {
        let image = "127.0.0.1\tlocalhost # usual\n192.0.2.7 db";
        let expected = "127.0.0.1\tlocalhost # usual\n192.0.2.7 db\n::1 ip6-localhost ip6-loopback\n10.177.0.9 gantry-1\n\
                        169.254.77.1 host.gantry.internal\nfd67::9 gantry-1\nfd67:616e:7472::1 host.gantry.internal\n";
        assert_eq!(complete(image, &of_pod()), expected);
        assert_eq!(complete(expected, &of_pod()), expected, "once is enough");
        let own = "10.0.0.1 gantry-1\n";
        assert!(!complete(own, &of_pod()).contains("10.177.0.9"), "what an image says of the name counts");
    }
}
