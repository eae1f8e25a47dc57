// SPDX-License-Identifier: Apache-2.0
//! Identities: which name a signature may say for an image (`signedIdentity`).

use pod::text::escape;

use crate::reference::{Parts, Reference};

/// A rule for the names that are accepted in a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The image's own name, with its tag or digest.
    Exact,
    /// The image's own name with its tag; of an image by digest, any name of its repository.
    RepositoryDigestOrExact,
    /// Any name of the image's repository.
    Repository,
    /// This name, tag and all.
    ExactReference(String),
    /// Any name of this repository.
    ExactRepository(String),
    /// As [`Identity::RepositoryDigestOrExact`], with the beginning of the image's name replaced.
    Remap {
        /// The prefix of the image's name.
        prefix: String,
        /// The prefix that the signature has in its place.
        signed: String,
    },
}

/// A name in a signature: a repository, and perhaps a version. Nothing is added to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedName {
    name: String,
    version: Option<String>,
}

impl SignedName {
    /// Parses a name; an error says what was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let refuse = |problem: &str| format!("{} is not an image's name: expected {problem}", escape(text));
        let parts = Parts::split(text).map_err(refuse)?;
        let reference = Reference::parse(parts.name).map_err(|_| refuse("HOST/REPOSITORY"))?;
        let digest = parts.digest.map(|digest| format!("@{digest}"));
        let version = digest.or_else(|| parts.tag.map(|tag| format!(":{tag}")));
        Ok(Self { name: reference.name(), version })
    }

    fn of(reference: &Reference) -> Self {
        let version = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Some(format!("@{digest}")),
            (None, tag) => tag.map(|tag| format!(":{tag}")),
        };
        Self { name: reference.name(), version }
    }

    fn is_digest(&self) -> bool {
        self.version.as_ref().is_some_and(|version| version.starts_with('@'))
    }

    /// Tells whether both are the same name with the same version. A name without a version equals no other.
    fn is_exactly(&self, other: &Self) -> bool {
        self.version.is_some() && self == other
    }
}

impl Identity {
    /// Returns a text that no other identity has. It is part of a digest that is kept, so it must not change.
    pub(super) fn described(&self) -> String {
        let words: &[&str] = match self {
            Self::Exact => &["exact"],
            Self::RepositoryDigestOrExact => &["repository-digest-or-exact"],
            Self::Repository => &["repository"],
            Self::ExactReference(text) => &["exact-reference", text],
            Self::ExactRepository(text) => &["exact-repository", text],
            Self::Remap { prefix, signed } => &["remap", prefix, signed],
        };
        serde_json::Value::from(words).to_string()
    }

    /// Tells whether a signature that says `signed` is about `image`.
    pub(crate) fn accepts(&self, image: &Reference, signed: &SignedName) -> bool {
        let image = SignedName::of(image);
        match self {
            Self::Exact => image.is_exactly(signed),
            Self::RepositoryDigestOrExact => digest_or_exact(&image, signed),
            Self::Repository => image.name == signed.name,
            Self::ExactReference(text) => {
                SignedName::parse(text).is_ok_and(|expected| expected.is_exactly(signed))
            }
            Self::ExactRepository(text) => {
                SignedName::parse(text).is_ok_and(|expected| expected.name == signed.name)
            }
            Self::Remap { prefix, signed: to } => {
                let rest = image.name.strip_prefix(prefix.as_str());
                let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with('/'));
                let name = rest.map_or_else(|| image.name.clone(), |rest| format!("{to}{rest}"));
                digest_or_exact(&SignedName { name, ..image }, signed)
            }
        }
    }
}

fn digest_or_exact(image: &SignedName, signed: &SignedName) -> bool {
    if image.is_digest() { image.name == signed.name } else { image.is_exactly(signed) }
}
