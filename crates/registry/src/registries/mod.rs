// SPDX-License-Identifier: Apache-2.0
//! Registries as the host's administrator wants them: `registries.conf`, version 2 (containers-registries.conf(5)).
//!
//! It says which servers are asked for an image, in which order, and what a short name means. [`Registries::plan`] and
//! [`Registries::resolve`] are pure.

mod content;
mod file;
mod plan;
mod short;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use content::Registries;
pub use plan::{Endpoint, Plan};

use crate::document;
use crate::error::Error;

/// The places of registries.conf.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file itself. It need not be there.
    pub file: PathBuf,
    /// Directories of drop-ins, `*.conf`, read in the order of their names after the file.
    pub drop_ins: Vec<PathBuf>,
    /// Aliases that another program has recorded, such as podman.
    pub aliases: Option<PathBuf>,
}

impl Registries {
    /// Reads registries.conf and its drop-ins.
    ///
    /// # Errors
    /// Fails if a file can't be read or understood.
    pub fn load(sources: &Sources) -> Result<Self, Error> {
        let mut all = Self::default();
        let mut files = vec![sources.file.clone()];
        for directory in &sources.drop_ins {
            files.extend(drop_ins(directory)?);
        }
        for path in &files {
            if let Some(text) = document::read_text(path)? {
                all.add(path, &text)?;
            }
        }
        if let Some(path) = &sources.aliases
            && let Some(text) = document::read_text(path)?
        {
            all.add_recorded_aliases(path, &text)?;
        }
        Ok(all)
    }
}

/// Returns the drop-ins of a directory, in the order of their names.
fn drop_ins(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let fail = |source| Error::Read { path: directory.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|extension| extension == "conf") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;
