// SPDX-License-Identifier: Apache-2.0
//! Decoders: what each one does, whatever the format.

use crate::error::Result;

/// A decoder. It differs from [`Read`] by its error, which says whose fault it is.
pub(super) trait Decode: Send {
    /// Decodes the next bytes of the stream, and returns how many; none at its end.
    fn decode(&mut self, into: &mut [u8]) -> Result<usize>;
}
