// SPDX-License-Identifier: Apache-2.0
//! Filters of the system calls that an app may make: programs that the kernel runs on each call (seccomp(2), classic
//! BPF).
//!
//! [`default`] makes the filter of every app that doesn't ask for another one. A table ([`table`]) says what becomes of
//! each call of Linux, and why. It is turned into runs of numbers when Gantry is built, so only the app's capabilities
//! are looked at when the app starts.
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
