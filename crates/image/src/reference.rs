// SPDX-License-Identifier: Apache-2.0
//! How people refer to an image: by an archive file, or as an image in the store.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use pod::id::ImageId;
use pod::text::escape_bytes;
use store::Selector;

use crate::oci::reference::ImageRef;

/// The prefixes of arguments that name an OCI image, one for each form.
const FORMS: [&[u8]; 4] = [b"oci:", b"oci-archive:", b"docker-archive:", b"docker://"];

/// An argument that refers to an image: `FILE`, `FILE@sha256-HEX` or `FILE@sha512-HEX`; an OCI image as [`ImageRef`] has
/// it; or an id, or the beginning of an id, of an image in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageArgument {
    /// An image's file, or an OCI layout's directory. If the file doesn't exist, it may be the name of an image in the store.
    File {
        /// The path of the file.
        path: PathBuf,
        /// The id that the image must have.
        id: Option<ImageId>,
    },
    /// An OCI image in a directory, a file or a registry, as its form is said.
    Oci(ImageRef),
    /// An image in the store.
    Stored(Selector),
}

/// The reason why an argument is invalid.
pub type Invalid = String;

impl ImageArgument {
    /// Parses an argument. The digest is the part after the last `@` that is followed by `sha256-` or `sha512-`.
    pub fn parse(argument: &OsStr) -> Result<Self, Invalid> {
        let bytes = argument.as_bytes();
        if let Some(selector) = argument.to_str().and_then(Selector::id) {
            return Ok(Self::Stored(selector));
        }
        if FORMS.iter().any(|form| bytes.starts_with(form)) {
            return ImageRef::parse(argument).map(Self::Oci).map_err(|error| error.to_string());
        }
        let found = bytes.windows(8).rposition(|window| window == b"@sha256-" || window == b"@sha512-");
        let (path, id) = match found {
            None => (bytes, None),
            Some(at) => {
                let text = String::from_utf8_lossy(&bytes[at + 1..]);
                (&bytes[..at], Some(text.parse::<ImageId>().map_err(|error| error.to_string())?))
            }
        };
        if path.is_empty() {
            return Err(format!(
                "invalid image {}: expected FILE, FILE@sha256-HEX or FILE@sha512-HEX",
                escape_bytes(bytes)
            ));
        }
        Ok(Self::File { path: OsString::from_vec(path.to_vec()).into(), id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images() {
        let hex = "0123456789abcdef".repeat(4);
        let parse = |text: &str| ImageArgument::parse(OsStr::new(text));
        let id = Some(format!("sha256-{hex}").parse().unwrap());
        let image = |path: &str, id| Ok(ImageArgument::File { path: path.into(), id });
        assert_eq!(parse("a.aci"), image("a.aci", None));
        assert_eq!(parse(&format!("a.aci@sha256-{hex}")), image("a.aci", id));
        assert_eq!(parse(&format!("a@sha256-x@sha256-{hex}")), image("a@sha256-x", id));
        assert_eq!(parse("a@b"), image("a@b", None));
        assert_eq!(parse("a@sha256:../../x"), image("a@sha256:../../x", None));
        let other = OsStr::from_bytes(b"\xff");
        assert_eq!(ImageArgument::parse(other), Ok(ImageArgument::File { path: other.into(), id: None }));
        let stored = |text: &str| Ok(ImageArgument::Stored(Selector::id(text).unwrap()));
        for id in ["sha256-0", &format!("sha256-{hex}"), &format!("sha512-{hex}{hex}")] {
            assert_eq!(parse(id), stored(id));
        }
        assert_eq!(parse("./sha256-0"), image("./sha256-0", None));
        for form in ["oci:dir:tag", "oci-archive:file", "docker-archive:file:name", "docker://r.io/a:1"] {
            assert_eq!(parse(form), Ok(ImageArgument::Oci(ImageRef::parse(OsStr::new(form)).unwrap())));
        }
        assert_eq!(parse("./oci:dir"), image("./oci:dir", None));
        for bad in [
            "oci:",
            "oci-archive:file:",
            "docker://",
            "docker://redis",
            "",
            &format!("@sha256-{hex}"),
            "a@sha256-",
            "a@sha256-../../x",
            &format!("a@sha256-{hex}0"),
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
