// SPDX-License-Identifier: Apache-2.0
//! Scopes: the parts of a policy that an image is in, the narrowest first (containers-policy.json(5), "SUPPORTED
//! TRANSPORTS AND THEIR SCOPES").

use std::fmt;
use std::path::Path;

use pod::text::one_line;

use crate::reference::Reference;

/// An image as a policy sees it.
#[derive(Clone, Debug)]
pub enum Image<'a> {
    /// An image of a registry, as it is called, whatever mirror it comes from.
    Registry(&'a Reference),
    /// A directory or file in OCI's layout: `oci`, `oci-archive` or `dir`.
    Layout {
        /// The transport.
        transport: Layout,
        /// The path, absolute and without symlinks: another path to the same file must not be another scope.
        path: &'a Path,
        /// The name of the image in the layout.
        name: Option<&'a str>,
    },
    /// An archive of `docker save`, which has no scopes.
    DockerArchive(&'a Path),
    /// Any other file, such as an ACI. Only the policy's default applies to it.
    Other(&'a Path),
}

/// A transport whose scopes are paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A directory in OCI's layout.
    Oci,
    /// An archive of one.
    OciArchive,
    /// A directory of blobs and a manifest.
    Dir,
}

impl Image<'_> {
    /// Returns the transport's name in a policy.
    pub(super) fn transport(&self) -> &'static str {
        match self {
            Self::Registry(_) => "docker",
            Self::Layout { transport: Layout::Oci, .. } => "oci",
            Self::Layout { transport: Layout::OciArchive, .. } => "oci-archive",
            Self::Layout { transport: Layout::Dir, .. } => "dir",
            Self::DockerArchive(_) => "docker-archive",
            Self::Other(_) => "",
        }
    }

    pub(super) fn can_be_signed(&self) -> bool {
        matches!(self, Self::Registry(_))
    }

    /// Returns the scopes that match only this version of the image.
    pub(super) fn versions(&self) -> Vec<String> {
        match self {
            Self::Registry(reference) => {
                let name = reference.name();
                let digest = reference.digest().map(|digest| format!("{name}@{digest}"));
                let tag = reference.tag().map(|tag| format!("{name}:{tag}"));
                digest.into_iter().chain(tag).collect()
            }
            Self::Layout { path, name: Some(name), .. } => vec![format!("{}:{name}", path.to_string_lossy())],
            _ => Vec::new(),
        }
    }

    /// Returns the scopes above the version, the narrowest first, the transport's default last.
    pub(super) fn above(&self) -> Vec<String> {
        let mut scopes = match self {
            Self::Registry(reference) => above_reference(reference),
            Self::Layout { path, .. } => above_path(path),
            Self::DockerArchive(_) | Self::Other(_) => Vec::new(),
        };
        scopes.push(String::new());
        scopes
    }
}

impl fmt::Display for Image<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "{reference}"),
            Self::Layout { path, name, .. } => {
                let name = name.map(|name| format!(":{name}")).unwrap_or_default();
                write!(f, "{}:{}", self.transport(), one_line(&format!("{}{name}", path.display())))
            }
            Self::DockerArchive(path) => {
                write!(f, "docker-archive:{}", one_line(&path.display().to_string()))
            }
            Self::Other(path) => write!(f, "{}", one_line(&path.display().to_string())),
        }
    }
}

/// Returns the repository, the namespaces above it, the host, the domains above the host.
fn above_reference(reference: &Reference) -> Vec<String> {
    let name = reference.name();
    let mut scopes = Vec::new();
    let mut rest = name.as_str();
    loop {
        scopes.push(rest.to_owned());
        match rest.rfind('/') {
            Some(slash) => rest = &rest[..slash],
            None => break,
        }
    }
    let domains = rest.match_indices('.').map(|(at, _)| format!("*{}", &rest[at..]));
    scopes.extend(domains);
    scopes
}

/// Returns the layout and the directories above it, but not the root.
fn above_path(path: &Path) -> Vec<String> {
    let above = path.ancestors().filter(|path| path.parent().is_some());
    above.map(|path| path.to_string_lossy().into_owned()).collect()
}

/// Checks a scope that a policy's author wrote. A scope that no image can be in is a mistake.
pub(super) fn check(transport: &str, scope: &str) -> Result<(), &'static str> {
    match transport {
        _ if scope.is_empty() => Ok(()),
        "docker" if scope.contains("://") || scope.ends_with('/') || scope.contains(char::is_whitespace) => {
            Err("expected HOST[/NAMESPACE…][/REPOSITORY[:TAG]], without a scheme")
        }
        "oci" | "oci-archive" | "dir" if !scope.starts_with('/') => Err("expected an absolute path"),
        "oci" | "oci-archive" | "dir"
            if scope.ends_with('/') || scope.split('/').any(|part| part == "..") =>
        {
            Err("expected a path without \"..\" and without \"/\" at its end")
        }
        "docker-archive" => Err("expected no scope but \"\""),
        _ => Ok(()),
    }
}
