// SPDX-License-Identifier: Apache-2.0
//! The one error type: callers don't branch on why an input is invalid, they only print it.

/// Why an input is not what it claims to be: one line, lower case, that names the object and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns an error that prints as `message`; parts of it that come from input go through [`crate::text::escape`].
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// Returns the same error, with the object that it was found in before it.
    #[must_use]
    pub fn within(self, object: impl std::fmt::Display) -> Self {
        Self(format!("{object}: {}", self.0))
    }
}
