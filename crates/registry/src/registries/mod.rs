// SPDX-License-Identifier: Apache-2.0
//! Registries as the host's administrator wants them: `registries.conf`, version 2 (containers-registries.conf(5)).
//!
//! It says which servers are asked for an image, in which order, and what a short name means. [`Registries::plan`] and
//! [`Registries::resolve`] are pure.

mod file;
mod plan;
mod short;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use plan::{Endpoint, Plan};

use crate::document;
use crate::error::Error;
use crate::host::Host;
use crate::reference::Reference;

/// Where registries.conf is.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file itself. It need not be there.
    pub file: PathBuf,
    /// Directories of drop-ins, `*.conf`, read in the order of their names after the file.
    pub drop_ins: Vec<PathBuf>,
    /// Aliases that another program has recorded, such as podman.
    pub aliases: Option<PathBuf>,
}

/// What registries.conf says. The default says nothing: each image comes from the registry that its name says.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    search: Vec<Location>,
    aliases: BTreeMap<String, Reference>,
    registries: Vec<Registry>,
    warnings: Vec<String>,
}

/// One `[[registry]]`.
#[derive(Clone, Debug)]
struct Registry {
    prefix: Prefix,
    /// What replaces the prefix; `None` keeps the name as it is.
    location: Option<Location>,
    insecure: bool,
    blocked: bool,
    mirrors: Vec<Mirror>,
}

/// One `[[registry.mirror]]`.
#[derive(Clone, Debug)]
struct Mirror {
    location: Location,
    insecure: bool,
    pulls: Pulls,
}

/// Which references a mirror is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pulls {
    All,
    Digests,
    Tags,
}

/// A host with the beginning of a repository, which may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Location {
    host: Host,
    path: String,
}

/// What the names of a registry's images begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Prefix {
    /// A host, with the beginning of a repository or all of it.
    At(Location),
    /// All hosts below this domain.
    Below(String),
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

    /// Returns what was not understood, and is ignored, a line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
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
