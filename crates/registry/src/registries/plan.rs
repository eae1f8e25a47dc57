// SPDX-License-Identifier: Apache-2.0
//! Plans: which endpoints are asked for an image, in order.

use super::content::{Location, Prefix, Pulls, Registries, Registry};
use crate::error::Error;
use crate::host::Host;
use crate::reference::{Reference, Version};

/// The endpoints that are asked for an image, the first one first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The image, as the policy and people call it, whatever endpoint it comes from.
    pub reference: Reference,
    /// At least one.
    pub endpoints: Vec<Endpoint>,
}

/// A repository on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The registry.
    pub host: Host,
    /// The repository there, which need not be called as in the reference.
    pub repository: String,
    /// Whether an untrusted certificate, or no TLS at all, is accepted.
    pub insecure: bool,
}

impl Registries {
    /// Plans which endpoints are asked for `reference`: mirrors first, then the registry itself.
    ///
    /// # Errors
    /// Fails if the registry is blocked, or a rewritten name is invalid.
    pub fn plan(&self, reference: &Reference) -> Result<Plan, Error> {
        let found = self.registries.iter().filter(|registry| registry.prefix.matches(reference));
        let Some(registry) = found.max_by_key(|registry| registry.prefix.len()) else {
            let endpoint = Endpoint {
                host: reference.host().clone(),
                repository: reference.repository().to_owned(),
                insecure: false,
            };
            return Ok(Plan { reference: reference.clone(), endpoints: vec![endpoint] });
        };
        if registry.blocked {
            let prefix = registry.prefix.to_string();
            return Err(Error::Blocked { reference: reference.to_string(), prefix });
        }
        let endpoints = registry.endpoints(reference);
        let endpoints =
            endpoints.map_err(|expected| Error::Reference { text: reference.to_string(), expected })?;
        Ok(Plan { reference: reference.clone(), endpoints })
    }
}

impl Registry {
    fn endpoints(&self, reference: &Reference) -> Result<Vec<Endpoint>, &'static str> {
        let is_digest = matches!(reference.version(), Version::Digest(_));
        let wanted = |pulls| match pulls {
            Pulls::All => true,
            Pulls::Digests => is_digest,
            Pulls::Tags => !is_digest,
        };
        let mirrors = self.mirrors.iter().filter(|mirror| wanted(mirror.pulls));
        let mirrors = mirrors.map(|mirror| (Some(&mirror.location), mirror.insecure));
        let all = mirrors.chain([(self.location.as_ref(), self.insecure)]);
        all.map(|(location, insecure)| self.prefix.rewritten(reference, location, insecure)).collect()
    }
}

impl Prefix {
    /// Tells whether an image's name begins with this prefix, at a `/`. A host without a port is not one with a port.
    fn matches(&self, reference: &Reference) -> bool {
        match self {
            Self::Below(domain) => reference.host().to_string().ends_with(domain.as_str()),
            Self::At(location) => *reference.host() == location.host && location.rest_of(reference).is_some(),
        }
    }

    /// Returns how specific it is: the longest prefix wins, and any host wins over a wildcard.
    fn len(&self) -> (bool, usize) {
        match self {
            Self::Below(domain) => (false, domain.len()),
            Self::At(location) => (true, location.path.len()),
        }
    }

    /// Returns the endpoint at `location` in place of the prefix.
    fn rewritten(
        &self,
        reference: &Reference,
        location: Option<&Location>,
        insecure: bool,
    ) -> Result<Endpoint, &'static str> {
        let rest = match self {
            Self::Below(_) => reference.repository(),
            Self::At(prefix) => prefix.rest_of(reference).unwrap_or_default(),
        };
        let (host, repository) = match location {
            None => (reference.host().clone(), reference.repository().to_owned()),
            Some(to) if to.path.is_empty() => (to.host.clone(), rest.to_owned()),
            Some(to) if rest.is_empty() => (to.host.clone(), to.path.clone()),
            Some(to) => (to.host.clone(), format!("{}/{rest}", to.path)),
        };
        let checked = Reference::at(host, &repository)?;
        Ok(Endpoint { host: checked.host().clone(), repository: checked.repository().to_owned(), insecure })
    }
}

impl Location {
    /// Returns what follows this location's path in a reference's repository.
    fn rest_of<'a>(&self, reference: &'a Reference) -> Option<&'a str> {
        if self.path.is_empty() {
            return Some(reference.repository());
        }
        let rest = reference.repository().strip_prefix(&self.path)?;
        if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Below(domain) => write!(f, "*{domain}"),
            Self::At(location) if location.path.is_empty() => write!(f, "{}", location.host),
            Self::At(location) => write!(f, "{}/{}", location.host, location.path),
        }
    }
}
