// SPDX-License-Identifier: Apache-2.0
//! Reserves published ports: a socket is bound to each, so that no program of the host's, and no other pod, can have it.
//!
//! Nothing ever listens there: connections are redirected before they would reach the socket.
//!
//! A pod's ports are held by a process that outlives the pod for some milliseconds. Its name tells whether the pod has ended.
//! If it has, a start that needs the same ports waits until they are free.

use std::ffi::CStr;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use pod::manifest::Protocol;
use pod::network::Published;
use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

use crate::error::Error;

/// The name of the process that holds a pod's ports while the pod runs (`proc_pid_comm(5)`).
pub const HOLDER: &CStr = c"gantry-reaper";
/// Its name once the pod has ended.
pub const LETS_GO: &CStr = c"gantry-ending";

/// How long a holder may take to notice that its pod has ended.
const NOTICE: Duration = Duration::from_millis(200);
/// How long it may take then to release the ports.
const LETTING_GO: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(2);

/// Reserves all ports.
pub(crate) fn reserve(published: &[Published], has_ipv6: bool) -> Result<Vec<OwnedFd>, Error> {
    let mut reserved = Vec::new();
    for ports in published {
        let addresses = match ports.address() {
            Some(address @ IpAddr::V6(_)) if !has_ipv6 => {
                let port = ports.pairs().next().map_or(0, |(host, _)| host);
                return Err(Error::NoIpv6 { address, port });
            }
            Some(address) => vec![address],
            None if has_ipv6 => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            None => vec![Ipv4Addr::UNSPECIFIED.into()],
        };
        for (port, _) in ports.pairs() {
            for address in &addresses {
                reserved.push(reserve_one(*address, port, ports.protocol())?);
            }
        }
    }
    Ok(reserved)
}

fn reserve_one(address: IpAddr, port: u16, protocol: Protocol) -> Result<OwnedFd, Error> {
    let begun = Instant::now();
    loop {
        let errno = match bound(address, port, protocol) {
            Ok(socket) => return Ok(socket),
            Err(errno) => errno,
        };
        match errno {
            Errno::ADDRINUSE => {}
            Errno::ADDRNOTAVAIL => return Err(Error::NotOfHost { address, port, protocol }),
            errno => {
                return Err(Error::Kernel {
                    what: format!("reserve port {port}/{protocol} of {address}"),
                    errno,
                });
            }
        }
        let by = holder(port, protocol);
        if begun.elapsed() >= patience(by.as_ref()) {
            let by =
                by.map(|Holder { number, name }| format!("process {number} ({})", pod::text::escape(&name)));
            return Err(Error::Taken { port, protocol, by });
        }
        sleep(STEP);
    }
}

fn bound(address: IpAddr, port: u16, protocol: Protocol) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        set_ipv6_v6only(&socket, true)?;
    }
    // Only a second server is refused, not the connections of one that has ended. UDP has no such connections, and
    // there the option would let others share the port.
    set_socket_reuseaddr(&socket, protocol == Protocol::Tcp)?;
    bind(&socket, &SocketAddr::new(address, port))?;
    set_socket_reuseaddr(&socket, false)?;
    Ok(socket)
}

/// Returns how long to wait for a port in all. If no holder is found, it has just ended, or can't be seen from here.
fn patience(holder: Option<&Holder>) -> Duration {
    let is = |holder: &Holder, name: &CStr| holder.name.as_bytes() == name.to_bytes();
    match holder {
        Some(holder) if is(holder, LETS_GO) => LETTING_GO,
        Some(holder) if !is(holder, HOLDER) => Duration::ZERO,
        _ => NOTICE,
    }
}

/// A process that has a port.
#[derive(Debug)]
struct Holder {
    number: String,
    name: String,
}

/// Finds a process that has a port of the host.
fn holder(port: u16, protocol: Protocol) -> Option<Holder> {
    let mut tables = ["", "6"]
        .iter()
        .filter_map(|v6| fs::read_to_string(format!("/proc/thread-self/net/{protocol}{v6}")).ok());
    let inode = tables.find_map(|table| table.lines().find_map(|line| inode_of(line, port)))?;
    let link = format!("socket:[{inode}]");
    let is_process =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit());
    let processes = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path()).filter(is_process);
    let mut holders = processes.filter(|process| {
        let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        descriptors
            .map(|entry| entry.path())
            .any(|path| fs::read_link(path).is_ok_and(|to| to.as_os_str() == link.as_str()))
    });
    let process = holders.next()?;
    let name = fs::read_to_string(process.join("comm")).ok()?.trim_end().to_owned();
    let number = process.file_name()?.to_string_lossy().into_owned();
    Some(Holder { number, name })
}

/// Reads a line of /proc/net/tcp or udp (proc_pid_net(5)): the inode of the socket, if its local port is this one and it
/// is connected to nothing.
fn inode_of(line: &str, port: u16) -> Option<u64> {
    let words: Vec<_> = line.split_ascii_whitespace().collect();
    let (_, local) = words.get(1)?.rsplit_once(':')?;
    let (_, remote) = words.get(2)?.rsplit_once(':')?;
    let is_it = u16::from_str_radix(local, 16) == Ok(port) && remote == "0000";
    is_it.then(|| words.get(9)?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_waited_for_as_long_as_a_pod_that_has_ended_may_hold_it() {
        let waits = |name: &CStr| {
            patience(Some(&Holder { number: "7".into(), name: name.to_string_lossy().into_owned() }))
        };
        assert_eq!(waits(c"nginx"), Duration::ZERO);
        assert_eq!(waits(HOLDER), NOTICE);
        assert_eq!(waits(LETS_GO), LETTING_GO);
        assert_eq!(patience(None), NOTICE);
    }

    #[test]
    fn the_socket_of_a_port_is_found_in_the_kernels_table() {
        let line =
            "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 4242 1 0 100";
        assert_eq!(inode_of(line, 8080), Some(4242));
        assert_eq!(inode_of(line, 80), None);
        assert_eq!(inode_of("  sl  local_address rem_address", 80), None);
    }
}
