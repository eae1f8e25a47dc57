// SPDX-License-Identifier: Apache-2.0
//! Decoders of several threads, for files whose parts can be decoded independently of each other.
//!
//! docs/design/12-parallel-decoders.md says what they are for, and what they are measured against.

mod ahead;
mod queue;
pub(crate) mod xz;
pub(crate) mod zstd;
