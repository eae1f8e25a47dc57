// SPDX-License-Identifier: Apache-2.0
//! Media types of documents and blobs, as far as they decide something.
//!
//! A layer's compression is told by its content (`archive::decode`), whatever its type says: there are gzip layers that
//! are called zstd, and the other way round.

/// The kind of document or layer that a media type names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// An index: a list of manifests.
    Index,
    /// An image's manifest.
    Manifest,
    /// A manifest of Docker's first schema.
    SchemaOne,
    /// An image's configuration.
    Config,
    /// A layer that is a tar, compressed or not.
    Layer,
    /// A layer that may not be distributed by everybody.
    ForeignLayer,
    /// A layer that is encrypted.
    EncryptedLayer,
    /// A type that servers send by default, and that tells nothing about a document.
    Generic,
    /// Anything else.
    Other,
}

impl MediaType {
    /// Reads a media type; parameters after `;` mean nothing.
    pub fn of(text: &str) -> Self {
        match bare(text) {
            "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json" => Self::Index,
            "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v2+json" => Self::Manifest,
            "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Self::SchemaOne,
            "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json" => {
                Self::Config
            }
            "application/json" | "application/octet-stream" | "text/plain" => Self::Generic,
            other => layer(other),
        }
    }

    /// Tells whether it is a document that leads to an image.
    pub fn leads_to_an_image(self) -> bool {
        matches!(self, Self::Index | Self::Manifest)
    }
}

/// Returns a media type without its parameters.
pub(super) fn bare(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}

fn layer(text: &str) -> MediaType {
    let oci = text.strip_prefix("application/vnd.oci.image.layer.");
    let docker = text.strip_prefix("application/vnd.docker.image.rootfs.");
    let is_compression = |rest: &str, mark: char| {
        rest.is_empty() || rest.strip_prefix(mark).is_some_and(|how| matches!(how, "gzip" | "zstd"))
    };
    if let Some(rest) = oci.and_then(|rest| rest.strip_prefix("v1.tar")) {
        return match rest {
            rest if is_compression(rest, '+') => MediaType::Layer,
            rest if rest.ends_with("+encrypted") => MediaType::EncryptedLayer,
            _ => MediaType::Other,
        };
    }
    let foreign = oci
        .and_then(|rest| rest.strip_prefix("nondistributable.v1.tar"))
        .is_some_and(|rest| is_compression(rest, '+'))
        || docker
            .and_then(|rest| rest.strip_prefix("foreign.diff.tar"))
            .is_some_and(|rest| is_compression(rest, '.'));
    let of_docker = docker.and_then(|rest| rest.strip_prefix("diff.tar"));
    match (foreign, of_docker) {
        (true, _) => MediaType::ForeignLayer,
        (false, Some(rest)) if is_compression(rest, '.') || is_compression(rest, '+') => MediaType::Layer,
        _ => MediaType::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        for (text, expected) in [
            ("application/vnd.oci.image.index.v1+json", MediaType::Index),
            ("application/vnd.oci.image.manifest.v1+json; charset=utf-8", MediaType::Manifest),
            ("application/vnd.docker.distribution.manifest.v1+prettyjws", MediaType::SchemaOne),
            ("application/json", MediaType::Generic),
            ("application/vnd.oci.image.layer.v1.tar", MediaType::Layer),
            ("application/vnd.oci.image.layer.v1.tar+gzip", MediaType::Layer),
            ("application/vnd.oci.image.layer.v1.tar+zstd", MediaType::Layer),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", MediaType::Layer),
            ("application/vnd.docker.image.rootfs.diff.tar.zstd", MediaType::Layer),
            ("application/vnd.docker.image.rootfs.diff.tar", MediaType::Layer),
            ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", MediaType::EncryptedLayer),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", MediaType::ForeignLayer),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", MediaType::ForeignLayer),
            ("application/vnd.oci.image.layer.v1.tar+lz4", MediaType::Other),
            ("application/vnd.oci.image.layer.v1.tarx", MediaType::Other),
            ("application/vnd.in-toto+json", MediaType::Other),
            ("", MediaType::Other),
        ] {
            assert_eq!(MediaType::of(text), expected, "{text}");
        }
    }
}
