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
    /// Any other file, such as an ACI: only the policy's default is about it.
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

    /// Returns the scopes, the narrowest first, the transport's default last.
    pub(super) fn scopes(&self) -> Vec<String> {
        let mut scopes = match self {
            Self::Registry(reference) => of_reference(reference),
            Self::Layout { path, name, .. } => of_path(path, *name),
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

/// The image, its repository, the namespaces above it, the host, the domains above the host.
fn of_reference(reference: &Reference) -> Vec<String> {
    let name = reference.name();
    let mut scopes = Vec::new();
    // Both names of the version count: a digest must not lead around what is said of the tag, nor the other way round.
    scopes.extend(reference.digest().map(|digest| format!("{name}@{digest}")));
    scopes.extend(reference.tag().map(|tag| format!("{name}:{tag}")));
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

/// The image in the layout, the layout, the directories above it but the root.
fn of_path(path: &Path, name: Option<&str>) -> Vec<String> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let named = name.map(|name| format!("{}:{name}", text(path)));
    let above = path.ancestors().filter(|path| path.parent().is_some()).map(text);
    named.into_iter().chain(above).collect()
}

/// Checks a scope that a policy's author wrote. One that no image can be in is a mistake.
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
