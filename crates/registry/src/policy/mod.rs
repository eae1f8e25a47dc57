// SPDX-License-Identifier: Apache-2.0
//! Policy: which images the host's administrator allows, `policy.json` (containers-policy.json(5)).
//!
//! The file is read strictly: an unknown field, a duplicate field or an unknown kind of requirement makes the whole
//! file invalid. A requirement that is known and can't be checked here, such as an OpenPGP signature, rejects the
//! images that it applies to. A decision is about an image's name, not about the endpoint that it comes from.

mod file;
mod identity;
mod requirement;
mod scope;

use std::path::{Path, PathBuf};

pub(crate) use identity::{Identity, SignedName};
pub(crate) use requirement::SignedBy;
pub use scope::{Image, Layout};

use crate::document;
use crate::error::Error;
use file::Transports;
use requirement::Requirement;

/// The images that the administrator allows.
#[derive(Clone, Debug)]
pub struct Policy {
    path: PathBuf,
    default: Vec<Requirement>,
    transports: Transports,
}

/// A policy's decision about an image.
#[derive(Clone, Debug)]
pub enum Decision {
    /// It may be used.
    Accept,
    /// It may be used if it is signed: see [`crate::client::Pull::verify`].
    Signed(Signatures),
}

/// The signatures that an image has to have, all of them.
#[derive(Clone, Debug)]
pub struct Signatures {
    pub(crate) policy: PathBuf,
    pub(crate) scope: String,
    pub(crate) all: Vec<SignedBy>,
}

impl Signatures {
    /// Returns a digest of each requirement: its keys, and what a signature has to say. An image that was seen to fulfil
    /// it needs no second look as long as the policy still asks for the same.
    pub fn digests(&self) -> Vec<String> {
        self.all.iter().map(SignedBy::digest).collect()
    }

    /// Returns the error for an image that was not seen to have these signatures.
    pub fn unseen(&self, image: &Image<'_>) -> Error {
        self.refuse(
            &image.to_string(),
            "it asks for a signature, which was not checked when the store got the image".to_owned(),
        )
    }

    /// Returns the error for an image whose signatures are missing or wrong.
    pub(crate) fn refuse(&self, image: &str, reason: String) -> Error {
        Error::Rejected {
            image: image.to_owned(),
            policy: self.policy.clone(),
            scope: self.scope.clone(),
            reason,
        }
    }
}

impl Policy {
    /// Reads the first policy that exists. `None` means that the host has none, so all images are allowed.
    ///
    /// # Errors
    /// Fails if it can't be read or understood.
    pub fn load(paths: &[PathBuf]) -> Result<Option<Self>, Error> {
        for path in paths {
            if let Some(bytes) = document::read(path)? {
                return Self::parse(path, &bytes).map(Some);
            }
        }
        Ok(None)
    }

    /// Parses a policy, and reads the keys that it names.
    ///
    /// # Errors
    /// Fails if any part of it is not understood.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let file::Content { default, transports } = file::parse(path, bytes)?;
        Ok(Self { path: path.to_owned(), default, transports })
    }

    /// Decides about an image.
    ///
    /// # Errors
    /// Fails if the policy rejects it, or requires something that can't be checked.
    pub fn decide(&self, image: &Image<'_>) -> Result<Decision, Error> {
        let Found { scope, requirements, .. } = self.requirements(image);
        self.fulfil(image, &scope, &requirements)
    }

    /// Checks that no scope of its own rejects an image: what is said of all images, or of all of a transport, doesn't
    /// count, nor are signatures asked for. This is for further names of an image that has been decided about.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn check_not_rejected(&self, image: &Image<'_>) -> Result<(), Error> {
        let Found { scope, is_narrow, requirements } = self.requirements(image);
        let is_signed = |requirement: &&Requirement| matches!(requirement, Requirement::Signed(_));
        let others: Vec<_> = requirements.into_iter().filter(|one| !is_signed(one)).collect();
        if is_narrow { self.fulfil(image, &scope, &others).map(drop) } else { Ok(()) }
    }

    fn fulfil(
        &self,
        image: &Image<'_>,
        scope: &str,
        requirements: &[&Requirement],
    ) -> Result<Decision, Error> {
        let refuse = |reason: &str| Error::Rejected {
            image: image.to_string(),
            policy: self.path.clone(),
            scope: scope.to_owned(),
            reason: reason.to_owned(),
        };
        let mut signed = Vec::new();
        for requirement in requirements {
            match requirement {
                Requirement::Accept => {}
                Requirement::Reject => return Err(refuse("it says reject")),
                Requirement::Unsupported(what) => {
                    return Err(refuse(&format!("it asks for {what}, which is not supported")));
                }
                Requirement::Signed(_) if !image.can_be_signed() => {
                    return Err(refuse("it asks for a signature, and only an image of a registry has one"));
                }
                Requirement::Signed(by) => signed.push(by.clone()),
            }
        }
        if signed.is_empty() {
            return Ok(Decision::Accept);
        }
        Ok(Decision::Signed(Signatures { policy: self.path.clone(), scope: scope.to_owned(), all: signed }))
    }

    /// Returns the requirements of the narrowest scope that the image is in.
    ///
    /// An image with a tag and a digest must meet the requirements of both, so neither can be used to avoid the
    /// other's.
    fn requirements(&self, image: &Image<'_>) -> Found<'_> {
        let transport = image.transport();
        let scopes = self.transports.get(transport);
        let find = |scope: String| scopes?.get_key_value(&scope);
        let versions: Vec<_> = image.versions().into_iter().filter_map(find).collect();
        if !versions.is_empty() {
            let names: Vec<_> = versions.iter().map(|(scope, _)| format!("{transport}:{scope}")).collect();
            let requirements = versions.into_iter().flat_map(|(_, requirements)| requirements).collect();
            return Found { scope: format!("scope {}", names.join(" and ")), is_narrow: true, requirements };
        }
        let (scope, is_narrow, found) = match image.above().into_iter().find_map(find) {
            Some((scope, found)) if scope.is_empty() => (format!("default of {transport}"), false, found),
            Some((scope, found)) => (format!("scope {transport}:{scope}"), true, found),
            None => ("default".to_owned(), false, &self.default),
        };
        Found { scope, is_narrow, requirements: found.iter().collect() }
    }
}

/// A policy's requirements of an image.
struct Found<'a> {
    /// The scope, for messages.
    scope: String,
    /// Whether the scope is narrower than all images and than all of a transport.
    is_narrow: bool,
    requirements: Vec<&'a Requirement>,
}

#[cfg(test)]
mod tests;
