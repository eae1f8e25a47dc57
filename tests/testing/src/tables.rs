// SPDX-License-Identifier: Apache-2.0
//! Lists the tables of this thread's `nf_tables`, by netlink(7): no program for that need be on the host.

use std::io;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

/// NFNL_SUBSYS_NFTABLES and NFT_MSG_GETTABLE, and what it is answered with, NFT_MSG_NEWTABLE
/// (linux/netfilter/nfnetlink.h and nf_tables.h).
const GET_TABLE: u16 = 10 << 8 | 1;
const TABLE: u16 = 10 << 8;
/// NLM_F_REQUEST and NLM_F_DUMP (linux/netlink.h).
const DUMP: u16 = 0x1 | 0x300;
/// NLMSG_ERROR and NLMSG_DONE.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// The sizes of `struct nlmsghdr`, `struct nfgenmsg` and `struct nlattr`.
const HEADER: usize = 16;
const FAMILY: usize = 4;
const ATTRIBUTE: usize = 4;

/// Lists the names of all tables.
///
/// # Errors
/// If the kernel can't be asked.
pub fn names() -> io::Result<Vec<String>> {
    let netfilter = SockProtocol::NetlinkNetFilter;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, netfilter)?;
    let mut request = vec![0; HEADER + FAMILY];
    request[..4].copy_from_slice(&20_u32.to_ne_bytes());
    request[4..6].copy_from_slice(&GET_TABLE.to_ne_bytes());
    request[6..8].copy_from_slice(&DUMP.to_ne_bytes());
    send(socket.as_raw_fd(), &request, MsgFlags::empty())?;
    let (mut names, mut answer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        let mut rest = &answer[..length];
        while let Some((kind, body, after)) = message(rest) {
            match kind {
                DONE => return Ok(names),
                // It begins with a negative error number (netlink(7), struct nlmsgerr).
                ERROR => {
                    let number = body.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
                    return Err(io::Error::from_raw_os_error(-number));
                }
                TABLE => names.push(name(body)),
                _ => {}
            }
            rest = after;
        }
    }
}

/// Splits a message off: its type, its body, and what comes after.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?);
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let length = usize::try_from(length).ok()?;
    let padded = length.next_multiple_of(4).min(bytes.len());
    Some((kind, bytes.get(HEADER..length)?, &bytes[padded..]))
}

/// Returns a table's name, which is its first attribute.
fn name(body: &[u8]) -> String {
    let text = body.get(FAMILY + ATTRIBUTE..).unwrap_or_default();
    String::from_utf8_lossy(text.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}
