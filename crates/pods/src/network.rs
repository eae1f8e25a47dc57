// SPDX-License-Identifier: Apache-2.0
//! The addresses of a running pod, as the kernel has them in the pod's network namespace.
//!
//! No file says which addresses a pod has: proc(5) shows them for a process of the pod, whatever has made the network.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use pod::id::PodId;

use crate::app::in_pod;
use crate::cgroup::Cgroup;
use crate::process::Process;

/// The scope of addresses that are of one link alone, as if_inet6 writes it (the kernel's net/ipv6.h, `IPV6_ADDR_LINKLOCAL`).
const OF_LINK: &str = "20";
const LOOPBACK: &str = "lo";
/// The most bytes that are read of such a file, and the most addresses of each protocol that a pod is said to have.
const LENGTH_MAX: u64 = 1 << 20;
const SHOWN_MAX: usize = 16;

/// Tells whether this network, a host's, forwards IPv6: without that, no pod reaches another by it.
pub(crate) fn forwards_v6() -> bool {
    let value = fs::read_to_string("/proc/sys/net/ipv6/conf/all/forwarding");
    value.is_ok_and(|value| value.trim() != "0")
}

/// Returns the addresses of the pod whose process this is, IPv4 first; none if it has no network of its own (yet).
///
/// # Errors
/// If the pod's cgroup can't be reached.
pub(crate) fn addresses(id: PodId, process: &Process) -> Result<Vec<IpAddr>> {
    let Some(cgroup) = Cgroup::of(id, process)? else { return Ok(Vec::new()) };
    let Some(in_pod) = in_pod(&cgroup)? else { return Ok(Vec::new()) };
    let network = |of: i32| fs::read_link(format!("/proc/{of}/ns/net")).ok();
    // Before nspawn has made it, or without one, the network is the host's.
    if network(in_pod.id()) == network(process.id()) {
        return Ok(Vec::new());
    }
    // An app that may configure the network decides how long these are.
    let read = |file: &str| {
        let mut text = String::new();
        File::open(format!("/proc/{}/net/{file}", in_pod.id()))?
            .take(LENGTH_MAX)
            .read_to_string(&mut text)?;
        std::io::Result::Ok(text)
    };
    let (v4, v6) = (read("fib_trie").unwrap_or_default(), read("if_inet6").unwrap_or_default());
    if in_pod.has_ended()? {
        return Ok(Vec::new());
    }
    let (v4, v6) = (of_v4(&v4).into_iter().take(SHOWN_MAX), of_v6(&v6).into_iter().take(SHOWN_MAX));
    Ok(v4.map(IpAddr::V4).chain(v6.map(IpAddr::V6)).collect())
}

/// Reads the addresses of the namespace itself from /proc/net/fib_trie: a line with the address, and below it one that
/// says `/32 host LOCAL`. Each table of routes shows them again.
fn of_v4(trie: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(last.filter(|address| !address.is_loopback() && !found.contains(address)));
        }
    }
    found
}

/// Reads the addresses in /proc/net/if_inet6 that others can reach.
fn of_v6(list: &str) -> Vec<Ipv6Addr> {
    let one = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [address, _, _, scope, _, link] = words.as_slice() else { return None };
        let bits = u128::from_str_radix(address, 16).ok()?;
        (*link != LOOPBACK && *scope != OF_LINK).then_some(Ipv6Addr::from_bits(bits))
    };
    list.lines().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 10.177.0.9\n        \
                    /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n     |-- 127.0.0.1\n        \
                    /32 host LOCAL\nLocal:\n     |-- 10.177.0.9\n        /32 host LOCAL\n";
        assert_eq!(of_v4(trie), [Ipv4Addr::new(10, 177, 0, 9)]);
        let list = "00000000000000000000000000000001 01 80 10 80       lo\n\
                    fd67616e747241d180b400c04fd430c8 02 80 00 80     eth0\n\
                    fe800000000000000000000000000001 02 40 20 80     eth0\n";
        assert_eq!(of_v6(list), ["fd67:616e:7472:41d1:80b4:c0:4fd4:30c8".parse::<Ipv6Addr>().unwrap()]);
    }
}
