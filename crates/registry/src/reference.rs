// SPDX-License-Identifier: Apache-2.0
//! References: full names of images, `HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`.
//!
//! The grammar is the distribution project's. A reference is canonical: hosts are lower-case and without the port of
//! HTTPS, the three names of Docker's registry are `docker.io`, and its official images are below `library/`. So two
//! references to one repository are equal, and a policy sees them as equal.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::host::Host;
use pod::blob::BlobDigest;

/// The longest name, host and repository together (distribution, `reference.NameTotalLengthMax`).
const LONGEST_NAME: usize = 255;
/// The longest tag.
const LONGEST_TAG: usize = 128;
/// The form of a tag, for messages.
const TAG: &str = "a tag of letters, digits, \"_\", \".\" and \"-\"";

/// The full name of an image, with a tag, a digest or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    host: Host,
    repository: String,
    tag: Option<Tag>,
    digest: Option<BlobDigest>,
}

/// A tag: a name of a version that can move.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tag(String);

impl Tag {
    /// Returns the tag of a name that has none.
    fn latest() -> Self {
        Self("latest".to_owned())
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || Error::Reference { text: text.to_owned(), expected: TAG };
        if is_tag(text) { Ok(Self(text.to_owned())) } else { Err(refuse()) }
    }
}

/// The version of an image in its repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// A tag, which can move.
    Tag(Tag),
    /// A digest, which can't.
    Digest(BlobDigest),
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "{tag}"),
            Self::Digest(digest) => write!(f, "{digest}"),
        }
    }
}

impl FromStr for Version {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        text.parse().map(Self::Digest).or_else(|_| text.parse().map(Self::Tag))
    }
}

/// A name as a person writes it: full, or short, that is without a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A name with a host.
    Full(Reference),
    /// A name without a host. The host is never guessed; [`crate::registries::Registries::resolve`] may know it.
    Short(ShortName),
}

/// A name without a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortName {
    /// The repository as it was written.
    pub(crate) repository: String,
    /// The text after the repository: `:TAG`, `@DIGEST` or both.
    pub(crate) version: String,
}

impl fmt::Display for ShortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.repository, self.version)
    }
}

impl Name {
    /// Parses a name. The first component is a host if it has a dot or a port, or is `localhost`.
    ///
    /// # Errors
    /// Fails if the text is no name.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let first = text.split_once('/').map(|(first, _)| first);
        if first.is_some_and(is_host) {
            return Reference::parse(text).map(Self::Full);
        }
        let refuse = |expected| Error::Reference { text: text.to_owned(), expected };
        let parts = Parts::split(text).map_err(refuse)?;
        check_repository(parts.name).map_err(refuse)?;
        let repository = parts.name.to_owned();
        Ok(Self::Short(ShortName { version: text[repository.len()..].to_owned(), repository }))
    }
}

/// Tells whether the first component of a name is a host.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|c| c.is_ascii_uppercase())
}

impl Reference {
    /// Parses a full name. Without a tag and a digest, the tag is `latest`.
    ///
    /// # Errors
    /// Fails if the text is no full name; says which part of it is wrong.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |expected| Error::Reference { text: text.to_owned(), expected };
        let parts = Parts::split(text).map_err(refuse)?;
        let (host, repository) = parts.name.split_once('/').ok_or_else(|| refuse("HOST/REPOSITORY"))?;
        if !is_host(host) {
            return Err(refuse("a host with a dot or a port before the first \"/\""));
        }
        let host = Host::parse(host).map_err(refuse)?;
        let reference = Self::at(host, repository).map_err(refuse)?;
        let tag = parts.tag.map(|tag| Tag(tag.to_owned()));
        let tag = tag.or_else(|| parts.digest.is_none().then(Tag::latest));
        Ok(Self { tag, digest: parts.digest, ..reference })
    }

    /// Returns the reference to a repository, without a version.
    pub(crate) fn at(host: Host, repository: &str) -> Result<Self, &'static str> {
        check_repository(repository)?;
        if host.to_string().len() + 1 + repository.len() > LONGEST_NAME {
            return Err("a name of at most 255 characters");
        }
        let official = host.is_docker() && !repository.contains('/');
        let repository = if official { format!("library/{repository}") } else { repository.to_owned() };
        Ok(Self { host, repository, tag: None, digest: None })
    }

    /// Returns the registry that the name says, which need not be the host that is asked: see [`Host::api`].
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the repository, `NAMESPACE/…/NAME`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns `HOST/REPOSITORY`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// Returns the tag.
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// Returns the digest.
    pub fn digest(&self) -> Option<BlobDigest> {
        self.digest
    }

    /// Returns the version to ask for: the digest if there is one, otherwise the tag.
    pub fn version(&self) -> Version {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => Version::Digest(*digest),
            (None, Some(tag)) => Version::Tag(tag.clone()),
            (None, None) => Version::Tag(Tag::latest()),
        }
    }

    /// Returns the same repository at a digest, without the tag.
    #[must_use]
    pub fn at_digest(&self, digest: BlobDigest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

/// The parts of a name, before it is known whether its first component is a host.
pub(crate) struct Parts<'a> {
    pub(crate) name: &'a str,
    pub(crate) tag: Option<&'a str>,
    pub(crate) digest: Option<BlobDigest>,
}

impl<'a> Parts<'a> {
    /// Splits off the digest, then the tag, which is after the last `/`: what comes before may have a port.
    pub(crate) fn split(text: &'a str) -> Result<Self, &'static str> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest.parse().map_err(|_| "sha256: or sha512: and its hex after \"@\"")?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[last..].find(':') {
            Some(colon) => (&rest[..last + colon], Some(&rest[last + colon + 1..])),
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(TAG);
        }
        Ok(Self { name, tag, digest })
    }
}

/// Tells whether this is a tag: `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`.
fn is_tag(text: &str) -> bool {
    let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    let mut bytes = text.bytes();
    bytes.next().is_some_and(word)
        && bytes.all(|c| word(c) || c == b'.' || c == b'-')
        && text.len() <= LONGEST_TAG
}

/// Checks a repository: components of lower-case letters and digits, with `.`, `_`, `__` or any number of `-` between.
fn check_repository(text: &str) -> Result<(), &'static str> {
    let good = text.split('/').all(is_component);
    good.then_some(()).ok_or("a repository of lower-case letters, digits and single separators")
}

fn is_component(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends = text.starts_with(alphanumeric) && text.ends_with(alphanumeric);
    let separators = text.split(alphanumeric).filter(|separator| !separator.is_empty());
    let good =
        |separator: &str| matches!(separator, "." | "_" | "__") || separator.bytes().all(|c| c == b'-');
    ends && separators.into_iter().all(good)
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod tests;
