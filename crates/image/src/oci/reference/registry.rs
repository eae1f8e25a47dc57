// SPDX-License-Identifier: Apache-2.0
//! Full names of images in registries: `HOST/REPO[:TAG][@DIGEST]` (distribution spec, "Pulling manifests").

use pod::blob::{BlobDigest, InvalidDigest};

use super::invalid::{InvalidRef, invalid};

/// The longest name of a repository, with its host.
const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;

/// An image's full name in a registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegistryRef {
    /// The registry's host, and maybe port.
    pub host: String,
    /// The repository.
    pub repository: String,
    /// The tag, if one is named.
    pub tag: Option<String>,
    /// The digest, which wins over the tag.
    pub digest: Option<BlobDigest>,
}

/// Tells whether a name begins with a host, by the rule of Docker's references.
pub(super) fn names_a_host(text: &str) -> bool {
    let Some((host, rest)) = text.split_once('/') else { return false };
    !rest.is_empty() && is_host(host)
}

fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

/// Returns the error for a short name that is no image of the store: what can be typed in its place.
pub fn short(name: &str) -> InvalidRef {
    let repository = if name.contains('/') { name.to_owned() } else { format!("library/{name}") };
    let full = match RegistryRef::parse(&format!("docker.io/{repository}")) {
        Ok(full) => format!("expected a full name, such as {full}"),
        Err(_) => "expected a full name, such as docker.io/library/redis".to_owned(),
    };
    invalid(name.as_bytes(), full)
}

impl RegistryRef {
    /// Parses `HOST/REPO[:TAG][@DIGEST]`.
    ///
    /// # Errors
    /// If it has no host, or its parts are not made of what such names are made of.
    pub fn parse(text: &str) -> Result<Self, InvalidRef> {
        let wrong = |expected: &str| invalid(text.as_bytes(), expected);
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = digest.parse().map_err(|error: InvalidDigest| wrong(&error.to_string()));
                (name, Some(digest?))
            }
            None => (text, None),
        };
        let (host, rest) = name.split_once('/').ok_or_else(|| short(text))?;
        if !is_host(host) {
            return Err(short(text));
        }
        let (repository, tag) = match rest.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        check_host(host).map_err(wrong)?;
        check_repository(repository).map_err(wrong)?;
        if host.len() + 1 + repository.len() > NAME_MAX {
            return Err(wrong("expected a name of at most 255 bytes"));
        }
        tag.map_or(Ok(()), check_tag).map_err(wrong)?;
        // Docker's own registry has its official images below library/.
        let repository = match (host, repository.contains('/')) {
            ("docker.io" | "index.docker.io", false) => format!("library/{repository}"),
            _ => repository.to_owned(),
        };
        let host = if host == "index.docker.io" { "docker.io" } else { host };
        Ok(Self { host: host.to_owned(), repository, tag: tag.map(str::to_owned), digest })
    }

    /// Returns the tag to ask for if no digest is named.
    pub fn tag_or_latest(&self) -> &str {
        self.tag.as_deref().unwrap_or("latest")
    }

    /// Returns the name with its tag, `latest` by default, and without the digest.
    pub fn tagged(&self) -> String {
        format!("{}/{}:{}", self.host, self.repository, self.tag_or_latest())
    }
}

impl std::fmt::Display for RegistryRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

/// Checks a host: a name or an address, and maybe a port.
fn check_host(host: &str) -> Result<(), &'static str> {
    let expected = "expected a host's name or address, and maybe a port";
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(expected)?;
            let is_address = address.parse::<std::net::Ipv6Addr>().is_ok();
            (if is_address { "v6" } else { "" }, port.strip_prefix(':').or(port.is_empty().then_some("1")))
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, Some("1")),
        },
    };
    let is_label = |label: &str| {
        let is_word = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        is_word && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_port = port.is_some_and(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if name.split('.').all(is_label) && is_port { Ok(()) } else { Err(expected) }
}

/// Checks a repository: words of lowercase letters and digits, between them `.`, `_`, `__` or dashes (distribution spec,
/// "Pulling manifests").
fn check_repository(repository: &str) -> Result<(), &'static str> {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_between = |between: &str| {
        matches!(between, "." | "_" | "__") || !between.is_empty() && between.bytes().all(|byte| byte == b'-')
    };
    let is_component = |component: &str| {
        let ends = |byte: Option<&u8>| byte.is_some_and(|byte| is_alphanumeric(*byte));
        let words = component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        ends(component.as_bytes().first())
            && ends(component.as_bytes().last())
            && words.filter(|between| !between.is_empty()).all(is_between)
    };
    match repository.split('/').all(is_component) {
        true => Ok(()),
        false => Err("expected a repository of lowercase letters and digits, with . _ - between them"),
    }
}

fn check_tag(tag: &str) -> Result<(), &'static str> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_tag = tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || b".-".contains(&byte))
        && tag.len() <= TAG_MAX;
    if is_tag { Ok(()) } else { Err("expected a tag of letters, digits, _ . -") }
}

/// Tells whether two names mean the same image by Docker's completion of short names: `redis` is
/// `docker.io/library/redis:latest`. Names in an archive are written either way.
pub fn is_same_name(one: &str, other: &str) -> bool {
    let full = |name: &str| {
        let with_host = if names_a_host(name) { name.to_owned() } else { format!("docker.io/{name}") };
        RegistryRef::parse(&with_host).map(|name| name.tagged()).ok()
    };
    one == other || full(one).is_some_and(|one| full(other) == Some(one))
}
