// SPDX-License-Identifier: Apache-2.0
//! The content of registries.conf, parsed.

use std::collections::BTreeMap;

use crate::host::Host;
use crate::reference::Reference;

/// The content of registries.conf. By default it is empty, and each image comes from the registry in its name.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    pub(super) search: Vec<Location>,
    pub(super) aliases: BTreeMap<String, Reference>,
    pub(super) registries: Vec<Registry>,
    pub(super) warnings: Vec<String>,
}

/// One `[[registry]]`.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    pub(super) prefix: Prefix,
    /// The replacement for the prefix; `None` keeps the name as it is.
    pub(super) location: Option<Location>,
    pub(super) insecure: bool,
    pub(super) blocked: bool,
    pub(super) mirrors: Vec<Mirror>,
}

/// One `[[registry.mirror]]`.
#[derive(Clone, Debug)]
pub(super) struct Mirror {
    pub(super) location: Location,
    pub(super) insecure: bool,
    pub(super) pulls: Pulls,
}

/// The references that a mirror is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulls {
    All,
    Digests,
    Tags,
}

/// A host with the beginning of a repository, which may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) host: Host,
    pub(super) path: String,
}

/// The beginning of the names of a registry's images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    /// A host, with the beginning of a repository or all of it.
    At(Location),
    /// All hosts below this domain.
    Below(String),
}

impl Registries {
    /// Returns what was not understood, and is ignored, a line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
