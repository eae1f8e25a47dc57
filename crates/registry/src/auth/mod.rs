// SPDX-License-Identifier: Apache-2.0
//! Credentials: users and passwords or tokens for registries, from auth files and credential helpers.
//!
//! Auth files are asked in order. In a file, a helper for the registry comes first, then the entry for the longest
//! prefix of `HOST/NAMESPACE/…/REPOSITORY`, then the helper for all registries. No other registry than the one that is
//! asked is named to a helper. (containers-auth.json(5), docker-login(1))

mod file;
mod helper;

use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

pub use helper::Helpers;

use crate::error::Error;
use crate::host::Host;
use file::AuthFile;

/// A text that is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text, which is to be sent and never shown.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a registry knows the host by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A user and a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token, exchanged for a token of the registry's.
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

/// Where credentials are looked for.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Auth files, the first one first.
    pub files: Vec<PathBuf>,
    /// A file that must be there, as the caller named it: no other is looked at then.
    pub named: Option<PathBuf>,
    /// How credential helpers are run.
    pub helpers: Helpers,
}

impl Sources {
    /// Finds the credentials for a repository of a registry.
    ///
    /// # Errors
    /// Fails if an auth file can't be read or understood, or a helper fails.
    pub fn find(&self, host: &Host, repository: &str) -> Result<Option<Credentials>, Error> {
        let files = match &self.named {
            Some(named) => std::slice::from_ref(named),
            None => self.files.as_slice(),
        };
        for path in files {
            let Some(file) = AuthFile::read(path)? else {
                if self.named.is_some() {
                    return Err(Error::Read {
                        path: path.clone(),
                        source: std::io::ErrorKind::NotFound.into(),
                    });
                }
                continue;
            };
            if let Some(found) = self.find_in(&file, host, repository)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn find_in(&self, file: &AuthFile, host: &Host, repository: &str) -> Result<Option<Credentials>, Error> {
        if let Some(name) = file.helper(host)
            && let Some(found) = self.helpers.get(name, host)?
        {
            return Ok(Some(found));
        }
        if let Some(found) = file.entry(host, repository)? {
            return Ok(Some(found));
        }
        file.store().map_or(Ok(None), |name| self.helpers.get(name, host))
    }
}
