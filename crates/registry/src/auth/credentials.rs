// SPDX-License-Identifier: Apache-2.0
//! Credentials for one registry, which are never shown.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// A text that is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text. It may be sent, but must not be shown.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Credentials for a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A user and a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token, which is exchanged for an access token.
    IdentityToken(Secret),
}

impl Credentials {
    /// Returns the value of `Authorization` for a user and a password.
    pub(crate) fn basic(&self) -> Option<Secret> {
        let Self::Basic { user, password } = self else { return None };
        let both = BASE64_STANDARD.encode(format!("{user}:{}", password.reveal()));
        Some(Secret::new(format!("Basic {both}")))
    }
}
