// SPDX-License-Identifier: Apache-2.0
//! A pod's own network: a veth, addresses, routes and an `nf_tables` table, made by messages to the kernel.
//!
//! Invariant: all that is made on the host goes by itself. The veth goes with the pod's network namespace, and the table
//! and the reserved ports with the last process that has their descriptors.

pub mod addresses;
mod conntrack;
mod error;
pub mod firewall;
pub mod hosts;
pub mod metadata;
mod netlink;
pub mod plan;
mod ports;
mod rate;
pub mod resolver;
mod route;
pub mod setup;
pub mod sysctls;

pub use error::Error;
pub use ports::{HOLDER, LETS_GO};

#[cfg(test)]
#[allow(clippy::print_stdout, reason = "a measurement")]
mod tests;
