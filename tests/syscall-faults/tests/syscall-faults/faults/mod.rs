// SPDX-License-Identifier: Apache-2.0
//! What is left when an operation is killed, or the system fails it, at each call that changes something: all of
//! them, one after the other, none left out.
//!
//! Invariant asked for: what is published is absent or complete; an error is one line, and leaves nothing behind;
//! the same command then succeeds, and leaves what it would have left without the fault.

mod controls;
mod operations;
mod place;
mod sweep;
