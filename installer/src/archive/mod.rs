// SPDX-License-Identifier: Apache-2.0
//! Archives: bytes → a checked stream → typed entries.

pub mod decode;
pub(crate) mod entry;
pub(crate) mod stream;
