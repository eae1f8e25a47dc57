// SPDX-License-Identifier: Apache-2.0
//! How people refer to an image: a file, a layout's directory, a registry's name, an image in the store.
//!
//! ```text
//! oci:DIR[:TAG]  oci-archive:FILE[:TAG]  docker-archive:FILE[:NAME]      TAG may be @sha256:…, NAME may be @NUMBER
//! docker://HOST/REPO[:TAG][@DIGEST]  HOST/REPO[:TAG][@DIGEST]
//! ./FILE  /DIR                                                             recognised by content
//! sha256-…  sha256-BEGINNING  NAME                                          in the store
//! ```
//!
//! Invariant: a short name such as `redis` is never completed by guessing. The caller
//! looks in the store for an image of that name; if there is none, the name is a mistake.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use pod::text::escape;

mod invalid;
mod registry;

pub use invalid::InvalidRef;
use invalid::invalid;
use registry::names_a_host;
pub use registry::{RegistryRef, is_same_name, short};

/// An image as a person typed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageRef {
    /// An OCI layout's directory.
    Oci {
        /// The directory.
        directory: PathBuf,
        /// The name of one of its images, if it has several.
        image: Option<String>,
    },
    /// An archive of an OCI layout.
    OciArchive {
        /// The file; `-` is stdin.
        file: PathBuf,
        /// The name of one of its images, if it has several.
        image: Option<String>,
    },
    /// An archive as `docker save` writes it.
    DockerArchive {
        /// The file; `-` is stdin.
        file: PathBuf,
        /// The name of one of its images, if it has several.
        image: Option<String>,
    },
    /// An image in a registry.
    Registry(RegistryRef),
    /// A file or directory, recognised by its content.
    Path(PathBuf),
    /// The name, or an id, of an image in the store.
    Stored(String),
}

impl ImageRef {
    /// Parses what was typed.
    ///
    /// A text with a slash at its beginning, or `.` and a slash, is a path. Else a text whose part before the first slash
    /// looks like a host (with a `.`, a `:` or `localhost`) is a registry's name. Any other one is a name in the store.
    ///
    /// # Errors
    /// If it is a scheme without its parts, or an invalid name of a registry.
    pub fn parse(typed: &OsStr) -> Result<Self, InvalidRef> {
        let bytes = typed.as_bytes();
        if bytes.is_empty() {
            return Err(invalid(bytes, "expected a file, a directory or a name"));
        }
        let scheme = bytes.iter().position(|byte| *byte == b':').map(|at| (&bytes[..at], &bytes[at + 1..]));
        match scheme {
            Some((b"oci", rest)) => {
                let (directory, image) = located(bytes, rest)?;
                return Ok(Self::Oci { directory, image });
            }
            Some((b"oci-archive", rest)) => {
                let (file, image) = located(bytes, rest)?;
                return Ok(Self::OciArchive { file, image });
            }
            Some((b"docker-archive", rest)) => {
                let (file, image) = located(bytes, rest)?;
                return Ok(Self::DockerArchive { file, image });
            }
            Some((b"docker", rest)) if rest.starts_with(b"//") => {
                let name = std::str::from_utf8(&rest[2..]).map_err(|_| invalid(bytes, "expected UTF-8"))?;
                return RegistryRef::parse(name).map(Self::Registry);
            }
            _ => {}
        }
        let is_path = [&b"/"[..], b"./", b"../"].iter().any(|start| bytes.starts_with(start));
        match typed.to_str() {
            Some(text) if !is_path && names_a_host(text) => RegistryRef::parse(text).map(Self::Registry),
            Some(text) if !is_path && !matches!(bytes, b"." | b"..") => Ok(Self::Stored(text.to_owned())),
            _ => Ok(Self::Path(typed.into())),
        }
    }
}

/// Splits `PATH[:IMAGE]`, or `PATH@DIGEST`. The path ends at the first colon, as skopeo's does.
fn located(whole: &[u8], rest: &[u8]) -> Result<(PathBuf, Option<String>), InvalidRef> {
    let by_digest = rest.windows(8).position(|window| matches!(window, b"@sha256:" | b"@sha512:"));
    let colon = rest.iter().position(|byte| *byte == b':');
    let (path, image) = match (by_digest, colon) {
        (Some(at), Some(colon)) if at < colon => (&rest[..at], Some(&rest[at..])),
        (_, Some(at)) => (&rest[..at], Some(&rest[at + 1..])),
        (_, None) => (rest, None),
    };
    if path.is_empty() {
        return Err(invalid(whole, "expected a path after the scheme"));
    }
    let text = |image: &[u8]| match std::str::from_utf8(image) {
        Ok(image) if !image.is_empty() => Ok(image.to_owned()),
        _ => Err(invalid(whole, "expected an image's name after the path")),
    };
    Ok((OsString::from_vec(path.to_vec()).into(), image.map(text).transpose()?))
}

impl std::fmt::Display for ImageRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let located = |scheme: &str, path: &PathBuf, image: &Option<String>| {
            let image = image.as_ref().map(|image| format!(":{image}")).unwrap_or_default();
            escape(&format!("{scheme}:{}{image}", path.display()))
        };
        match self {
            Self::Oci { directory, image } => f.write_str(&located("oci", directory, image)),
            Self::OciArchive { file, image } => f.write_str(&located("oci-archive", file, image)),
            Self::DockerArchive { file, image } => f.write_str(&located("docker-archive", file, image)),
            Self::Registry(name) => name.fmt(f),
            Self::Path(path) => f.write_str(&escape(&path.to_string_lossy())),
            Self::Stored(name) => f.write_str(&escape(name)),
        }
    }
}

#[cfg(test)]
mod tests;
