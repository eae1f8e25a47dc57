// SPDX-License-Identifier: Apache-2.0
//! Errors of OCI images: one variant for each case that a caller tells apart, each one line.

use std::io;

use pod::text::escape;
use report::Advice;

use super::platform::Platform;

/// The most names or platforms that a message lists.
const LISTED_MAX: usize = 20;

/// Why an OCI image can't be used. `document` is a text that is safe to print.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A document says what it must not, or does not say what it must.
    #[error("{document}: {why}")]
    Invalid {
        /// The document.
        document: String,
        /// What is wrong, and what was expected.
        why: String,
    },
    /// A manifest of Docker's first schema, whose layers have no digests of their tars.
    #[error("{document} is a manifest of Docker's schema 1: expected schema 2 or an OCI image")]
    SchemaOne {
        /// The document.
        document: String,
    },
    /// A manifest of something that is no image.
    #[error("{document} is an artifact of type {}: expected an image", escape(.kind))]
    Artifact {
        /// The document.
        document: String,
        /// The artifact's type.
        kind: String,
    },
    /// An index has no image for the platform.
    #[error("{document} has no image for {wanted}: expected it among {}", list(.available))]
    NoPlatform {
        /// The index.
        document: String,
        /// The platform.
        wanted: Platform,
        /// The platforms that it has images for.
        available: Vec<String>,
    },
    /// A source has several images, and none was named.
    #[error("{document} has several images: expected a name, one of {}", list(.names))]
    Unnamed {
        /// The source.
        document: String,
        /// The images' names.
        names: Vec<String>,
    },
    /// A source doesn't have the image that was named.
    #[error("{document} has no image {}: expected one of {}", escape(.wanted), list(.names))]
    NoImage {
        /// The source.
        document: String,
        /// The name.
        wanted: String,
        /// The images' names.
        names: Vec<String>,
    },
    /// A blob or a file can't be read, or is not what its descriptor says.
    #[error("{what}: {error}")]
    Read {
        /// What can't be read.
        what: String,
        /// Why.
        error: io::Error,
    },
    /// An archive that can't be read as it is, since it is compressed.
    #[error("{file} is compressed: expected a plain tar")]
    Compressed {
        /// The archive.
        file: String,
    },
    /// A reference that leads to a registry or to the store.
    #[error("{image}: expected an image in a directory or a file")]
    Elsewhere {
        /// The reference, safe to print.
        image: String,
    },
    /// A directory that is no layout, where a file could be, too.
    #[error("cannot open {directory}: expected a regular file or an OCI layout")]
    NoLayout {
        /// The directory.
        directory: String,
    },
    /// An image in the store whose blobs are not kept.
    #[error("its layers are not kept: expected an image that was pulled from a registry")]
    Unkept,
    /// A file or directory that holds no OCI image.
    #[error("{file} holds no image: expected {expected}")]
    NoSource {
        /// The file or directory.
        file: String,
        /// What was looked for.
        expected: &'static str,
    },
}

impl Error {
    pub(super) fn invalid(document: &str, why: impl Into<String>) -> Self {
        Self::Invalid { document: document.to_owned(), why: why.into() }
    }
}

impl Advice for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::SchemaOne { .. } => Some("push the image anew with a current tool".into()),
            Self::Compressed { .. } => Some("gzip -d, xz -d or zstd -d makes one".into()),
            _ => None,
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".into();
    }
    let mut shown: Vec<_> = names.iter().take(LISTED_MAX).map(|name| escape(name)).collect();
    if names.len() > LISTED_MAX {
        shown.push("…".into());
    }
    shown.join(", ")
}
