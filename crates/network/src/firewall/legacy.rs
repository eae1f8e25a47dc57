// SPDX-License-Identifier: Apache-2.0
//! Finds tables that drop forwarded packets in the firewall before nf_tables, which `iptables-legacy` still sets.
//!
//! A table is read by getsockopt(2) on a raw socket. First its size and where its chains begin and end, then its entries,
//! each a rule with a target (linux/netfilter_ipv4/ip_tables.h, ip6_tables.h, linux/netfilter/x_tables.h).

use std::ops::Range;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use sys::sockets::option;

use super::rules::VETHS;

/// `NF_INET_FORWARD`, `NF_DROP` as a standard target has it.
const FORWARD: usize = 2;
const DROP: i32 = -1;
/// `IPT_SO_GET_INFO` and `IPT_SO_GET_ENTRIES`; IPv6 has the same numbers.
const GET_INFO: i32 = 64;
const GET_ENTRIES: i32 = 65;
/// The table of which forwarded packets pass the chain FORWARD.
const FILTER: &[u8] = b"filter";
/// The length of a table's name.
const NAME: usize = 32;
/// `struct ipt_getinfo`: the name, valid hooks, where five chains begin, where their policies are, the number of entries, and
/// their size.
const INFO: usize = NAME + 4 * (1 + 5 + 5 + 2);
/// `struct ipt_get_entries`: the name and the size, before the entries.
const ENTRIES: usize = NAME + 8;
/// The length of a target's header, which its verdict follows.
const TARGET: usize = 32;
/// A table with more entries than fit in here isn't read.
const SIZE_MAX: usize = 4 << 20;

struct Family {
    /// The file that lists the tables in use. To ask for a table makes the kernel set it up.
    names: &'static str,
    program: &'static str,
    family: AddressFamily,
    /// `SOL_IP`, `SOL_IPV6`.
    level: i32,
    /// The offset of the field that has the target's offset. It follows the conditions on packets (`struct ipt_ip`, `struct ip6t_ip6`).
    target: usize,
}

const FAMILIES: [Family; 2] = [
    Family {
        names: "/proc/thread-self/net/ip_tables_names",
        program: "iptables",
        family: AddressFamily::INET,
        level: 0,
        target: 88,
    },
    Family {
        names: "/proc/thread-self/net/ip6_tables_names",
        program: "ip6tables",
        family: AddressFamily::INET6,
        level: 41,
        target: 140,
    },
];

/// Finds the tables that drop what pods send and receive, and says of each which rules would help. A table that can't be
/// read is left out.
pub(crate) fn find() -> Vec<String> {
    FAMILIES.iter().filter(|family| family.drops().unwrap_or(false)).map(Family::advice).collect()
}

impl Family {
    /// Tells whether what no rule accepts is dropped, and no rule is about links of pods.
    fn drops(&self) -> std::io::Result<bool> {
        let names = std::fs::read_to_string(self.names).unwrap_or_default();
        if !names.lines().any(|name| name.as_bytes() == FILTER) {
            return Ok(false);
        }
        let socket =
            socket_with(self.family, SocketType::RAW, SocketFlags::CLOEXEC, Some(rustix::net::ipproto::RAW))?;
        let mut info = [0; INFO];
        info[..FILTER.len()].copy_from_slice(FILTER);
        option(&socket, self.level, GET_INFO, &mut info)?;
        let size = number(&info, INFO - 4).unwrap_or_default() as usize;
        let policy = number(&info, NAME + 4 * (6 + FORWARD)).unwrap_or_default() as usize;
        if size > SIZE_MAX {
            return Ok(false);
        }
        let mut table = vec![0; ENTRIES + size];
        table[..FILTER.len()].copy_from_slice(FILTER);
        table[NAME..NAME + 4].copy_from_slice(&info[INFO - 4..]);
        let length = option(&socket, self.level, GET_ENTRIES, &mut table)?;
        Ok(drops(table.get(ENTRIES..length).unwrap_or_default(), policy, self.target))
    }

    fn advice(&self) -> String {
        let rule = |option| format!("{} -I FORWARD {option} {VETHS}+ -j ACCEPT", self.program);
        format!(
            "the chain FORWARD of {}-legacy drops what is forwarded to and from the pod: expected rules as by {} and {}",
            self.program,
            rule("-i"),
            rule("-o")
        )
    }
}

/// Tells whether the entry at `policy` drops, and no entry names a link of pods.
fn drops(entries: &[u8], policy: usize, target: usize) -> bool {
    let verdict = || {
        let target = usize::from(u16::from_ne_bytes(bytes(entries, policy + target)?));
        Some(i32::from_ne_bytes(bytes(entries, policy + target + TARGET)?))
    };
    let mentions_pods = || entries.windows(VETHS.len()).any(|window| window == VETHS.as_bytes());
    verdict() == Some(DROP) && !mentions_pods()
}

fn number(bytes_of: &[u8], at: usize) -> Option<u32> {
    bytes(bytes_of, at).map(u32::from_ne_bytes)
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(Range { start: at, end: at.checked_add(N)? })?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns an entry of IPv4 with a standard target, about packets that come by this link.
    fn entry(link: &str, verdict: i32) -> Vec<u8> {
        let mut entry = vec![0; 112];
        entry[16..16 + link.len()].copy_from_slice(link.as_bytes());
        entry[88..90].copy_from_slice(&112_u16.to_ne_bytes());
        entry[90..92].copy_from_slice(&152_u16.to_ne_bytes());
        let mut target = vec![0; 40];
        target[..2].copy_from_slice(&40_u16.to_ne_bytes());
        target[32..36].copy_from_slice(&verdict.to_ne_bytes());
        [entry, target].concat()
    }

    #[test]
    fn a_policy_that_drops_is_found_unless_a_rule_is_about_pods() {
        let target = FAMILIES[0].target;
        let table = |rule: &[u8], policy| [rule, &entry("", policy)].concat();
        for (rule, policy, expected) in [
            (entry("eth0", -2), DROP, true),
            (entry("eth0", -2), -2, false),
            (entry("eth0", DROP), -2, false),
            (entry(VETHS, -2), DROP, false),
        ] {
            assert_eq!(drops(&table(&rule, policy), rule.len(), target), expected);
        }
        // What the kernel would never say.
        for (entries, policy) in
            [(&[][..], 0), (&entry("", DROP), 10_000), (&entry("", DROP), usize::MAX - 90)]
        {
            assert!(!drops(entries, policy, target));
        }
    }
}
