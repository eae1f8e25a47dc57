// SPDX-License-Identifier: Apache-2.0
//! Texts that refer to no image, and what was expected.

use pod::text::escape_bytes;

/// Why a text refers to no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid image {text}: {expected}")]
pub struct InvalidRef {
    text: String,
    expected: String,
}

pub(super) fn invalid(text: &[u8], expected: impl Into<String>) -> InvalidRef {
    InvalidRef { text: escape_bytes(text), expected: expected.into() }
}
