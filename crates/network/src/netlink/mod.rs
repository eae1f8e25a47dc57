// SPDX-License-Identifier: Apache-2.0
//! Netlink: the kernel's protocol for networks (netlink(7), the kernel's include/uapi/linux/netlink.h).

pub(crate) mod answer;
pub(crate) mod message;
pub(crate) mod socket;
