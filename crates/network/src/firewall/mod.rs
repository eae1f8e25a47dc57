// SPDX-License-Identifier: Apache-2.0
//! The kernel's firewall, `nf_tables`. Each pod has a table, which the kernel removes with the last descriptor of the
//! socket that made it. Tables of other programs can drop the pod's packets, so these are looked at, too.

pub(crate) mod encode;
pub mod foreign;
pub(crate) mod legacy;
pub mod rules;
pub(crate) mod table;

/// `NFNL_SUBSYS_NFTABLES`, in a message's kind.
const SUBSYSTEM: u16 = 10 << 8;
/// `NFPROTO_*`.
const INET: u8 = 1;
pub(crate) const V4: u8 = 2;
const V6: u8 = 10;

/// `struct nfgenmsg`.
pub(crate) fn header(family: u8) -> [u8; 4] {
    [family, 0, 0, 0]
}
