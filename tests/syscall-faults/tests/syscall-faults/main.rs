// SPDX-License-Identifier: Apache-2.0
//! Faults, interruptions and orders of system calls: what the installer leaves in DIR however it is disturbed.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

mod counts;
mod durability;
mod faults;
mod interleaving;
mod lists;
