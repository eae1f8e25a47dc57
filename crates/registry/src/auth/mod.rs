// SPDX-License-Identifier: Apache-2.0
//! Credentials: users and passwords or tokens for registries, from auth files and credential helpers.
//!
//! Auth files are asked in order. In a file, a helper for the registry comes first, then the entry for the longest
//! prefix of `HOST/NAMESPACE/…/REPOSITORY`, then the helper for all registries. A helper is told only the registry that
//! is being asked. (containers-auth.json(5), docker-login(1))

mod credentials;
mod file;
mod helper;

use std::path::PathBuf;

pub use credentials::{Credentials, Secret};
pub use helper::Helpers;

use crate::error::Error;
use crate::host::Host;
use file::AuthFile;

/// The places where credentials are looked for.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Auth files, the first one first.
    pub files: Vec<PathBuf>,
    /// A file that the caller named. It must exist, and no other file is read then.
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
