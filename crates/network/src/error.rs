// SPDX-License-Identifier: Apache-2.0
//! Errors: the reasons why a pod can't have its network.

use std::net::IpAddr;

use pod::manifest::Protocol;
use rustix::io::Errno;

/// The options for pods without a network of their own, for hints.
const OTHERWISE: &str = "--net=host or --net=none";

/// A reason why a pod can't have its network, with the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The kernel refused something.
    #[error("cannot {what}")]
    Kernel {
        /// The operation that failed, in words that can follow "cannot".
        what: String,
        /// The kernel's reason.
        #[source]
        errno: Errno,
    },
    /// The kernel has no `nf_tables`, or one of before tables could have an owner.
    #[error(
        "no nf_tables with tables that have an owner: expected a kernel of 5.12 or newer with nf_tables, or {OTHERWISE}"
    )]
    NoTables {
        /// The kernel's reason.
        #[source]
        errno: Errno,
    },
    /// The kernel can't make veth devices.
    #[error("no veth devices: expected a kernel with veth, or {OTHERWISE}")]
    NoVeth {
        /// The kernel's reason.
        #[source]
        errno: Errno,
    },
    /// A published port is in use.
    #[error("port {port}/{protocol} of the host is taken{}: expected a free one", whose(.by.as_deref()))]
    Taken {
        /// The port's number.
        port: u16,
        /// Its protocol.
        protocol: Protocol,
        /// The process that has it, if it could be found.
        by: Option<String>,
    },
    /// A port is to be published on an address that the host has not.
    #[error(
        "{address} is no address of the host: expected one that it has, to publish {port}/{protocol} on it"
    )]
    NotOfHost {
        /// The address.
        address: IpAddr,
        /// The port's number.
        port: u16,
        /// Its protocol.
        protocol: Protocol,
    },
    /// A port is to be published on an IPv6 address of a host that has none.
    #[error(
        "IPv6 is off: expected it to be on (net.ipv6.conf.all.disable_ipv6=0), to publish {port} on {address}"
    )]
    NoIpv6 {
        /// The address.
        address: IpAddr,
        /// The port's number.
        port: u16,
    },
    /// The host forwards nothing, so a published port can't be reached from outside.
    #[error(
        "{sysctl} is 0: expected 1, so that published ports are reached from outside, as with sysctl -w {sysctl}=1, or \
         ports of 127.0.0.1 alone"
    )]
    NoForwarding {
        /// The name of the sysctl.
        sysctl: &'static str,
    },
    /// Each range that addresses come from is the host's own or is behind a route of it.
    #[error("no address for the pod: expected a range without a route on the host, but {taken}")]
    RangesTaken {
        /// The ranges, with the routes that cover them.
        taken: String,
    },
    /// Each address of the range is another pod's.
    #[error("no address for the pod: expected a free one in {range}, but each is in use")]
    RangeFull {
        /// The range.
        range: String,
    },
}

fn whose(process: Option<&str>) -> String {
    process.map_or(String::new(), |process| format!(" by {process}"))
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn an_error_says_what_was_to_be_done_and_ends_with_the_kernels_text() {
        let error = Error::Kernel { what: "make veth gantry5".into(), errno: Errno::EXIST };
        assert_eq!(error.to_string(), "cannot make veth gantry5");
        assert_eq!(error.source().unwrap().to_string(), Errno::EXIST.to_string());
        let by = Some("process 7 (nginx)".into());
        let taken = Error::Taken { port: 80, protocol: Protocol::Tcp, by };
        assert_eq!(
            taken.to_string(),
            "port 80/tcp of the host is taken by process 7 (nginx): expected a free one"
        );
    }
}
