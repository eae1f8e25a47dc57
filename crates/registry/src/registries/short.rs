// SPDX-License-Identifier: Apache-2.0
//! Short names: what a name without a host means. It is an alias, or belongs to the only registry that is searched. It
//! is never guessed, since the first registry that has the name may not be the one that is meant.

use super::content::Registries;
use crate::error::Error;
use crate::reference::{Name, Reference, ShortName};

/// The repository that a person may have meant if the host has no configuration.
const USUAL: &str = "docker.io/library";

impl Registries {
    /// Returns the full name of a name.
    ///
    /// # Errors
    /// Fails if a short name has no alias and not exactly one registry is searched. The error has the full names.
    pub fn resolve(&self, name: &Name) -> Result<Reference, Error> {
        let short = match name {
            Name::Full(reference) => return Ok(reference.clone()),
            Name::Short(short) => short,
        };
        if let Some(full) = self.aliases.get(&short.repository) {
            return Reference::parse(&format!("{}{}", full.name(), short.version));
        }
        let candidates = self.candidates(short);
        match (self.search.len(), candidates.first()) {
            (1, Some(one)) => Reference::parse(one),
            _ => Err(Error::ShortName { name: short.to_string(), candidates }),
        }
    }

    fn candidates(&self, short: &ShortName) -> Vec<String> {
        let searched = self.search.iter().map(|location| match location.path.as_str() {
            "" => location.host.to_string(),
            path => format!("{}/{path}", location.host),
        });
        let mut all: Vec<_> = searched.collect();
        if all.is_empty() {
            let official = !short.repository.contains('/');
            all.push(if official { USUAL.to_owned() } else { "docker.io".to_owned() });
        }
        all.iter().map(|registry| format!("{registry}/{short}")).collect()
    }
}
