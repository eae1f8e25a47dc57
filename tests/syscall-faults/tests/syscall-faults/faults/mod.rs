// SPDX-License-Identifier: Apache-2.0
//! Kills each operation, or makes the system fail it, at every call that changes something, one call after the other.
//!
//! Invariant: what is published is absent or complete; an error is one line, and leaves nothing behind; afterwards the
//! same command succeeds, and leaves what it would have left without the fault.

mod controls;
mod operations;
mod place;
mod runs;
mod saves;

mod sweep;
