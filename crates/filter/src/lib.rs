// SPDX-License-Identifier: Apache-2.0
//! Which system calls an app may make, as programs that the kernel runs on each call (seccomp(2), classic BPF).
//!
//! [`default`] is what every app has that doesn't ask for another: a table ([`table`]) says of each call of Linux what
//! becomes of it, and why. The table is turned into runs of numbers when Gantry is built. What is left for the start
//! is to look which capabilities the app has.
//!
//! Invariant: nothing here does anything. The programs are data; `/init`'s launcher gives them to the kernel.

mod bpf;
mod default;
mod list;
mod machine;
pub mod table;

pub use bpf::Instruction;
pub use default::{default, floor, of_pod};
pub use list::{List, of_list};
