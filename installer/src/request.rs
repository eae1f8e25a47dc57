// SPDX-License-Identifier: Apache-2.0
//! What a person asks for, read from single arguments.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use pod::digest::{self, Digest};
use pod::name::VolumeName;
use pod::path::AbsolutePath;
use pod::text::{escape, escape_bytes};

/// A pod directory to prepare.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// DIR, absolute.
    pub(crate) dir: PathBuf,
    /// The images, one at least.
    pub(crate) images: Vec<ImageArgument>,
    /// The volumes.
    pub(crate) volumes: Vec<VolumeArgument>,
    /// Stage1's file, unless it is this program's own.
    pub(crate) stage1: Option<PathBuf>,
    /// Stage1's digest, unless a file beside it has it.
    pub(crate) stage1_digest: Option<Digest>,
    /// The pod's manifest, unless one is generated.
    pub(crate) pod_manifest: Option<PathBuf>,
}

/// `FILE` or `FILE@sha256-HEX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageArgument {
    /// The image's file.
    pub(crate) path: PathBuf,
    /// What its tar must hash to.
    pub(crate) digest: Option<Digest>,
}

/// `NAME,kind=host,source=PATH[,readOnly=BOOL]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeArgument {
    /// Which mount points it fulfils.
    pub(crate) name: VolumeName,
    /// Where it is on the host.
    pub(crate) source: AbsolutePath,
    /// Whether apps may not write to it.
    pub(crate) read_only: bool,
}

/// Why an argument is not understood.
pub(crate) type Invalid = String;

impl ImageArgument {
    /// The digest is what follows the last `@sha256-`.
    pub(crate) fn parse(argument: &OsStr) -> Result<Self, Invalid> {
        let bytes = argument.as_bytes();
        let mark = format!("@{}", digest::PREFIX);
        let found = bytes.windows(mark.len()).rposition(|window| window == mark.as_bytes());
        let (path, digest) = match found {
            None => (bytes, None),
            Some(at) => {
                let text = String::from_utf8_lossy(&bytes[at + 1..]);
                (&bytes[..at], Some(text.parse::<Digest>().map_err(|error| error.to_string())?))
            }
        };
        if path.is_empty() {
            return Err(format!("invalid image {}: expected FILE or FILE@sha256-HEX", escape_bytes(bytes)));
        }
        Ok(Self { path: OsString::from_vec(path.to_vec()).into(), digest })
    }
}

impl VolumeArgument {
    /// The name comes first, fields in any order.
    pub(crate) fn parse(argument: &str) -> Result<Self, Invalid> {
        let invalid = |expected: &str| format!("invalid volume {}: expected {expected}", escape(argument));
        let mut fields = argument.split(',');
        let name =
            fields.next().unwrap_or_default().parse::<VolumeName>().map_err(|error| error.to_string())?;
        let (mut kind, mut source, mut read_only) = (None, None, None);
        for field in fields {
            let (slot, value) = match field.split_once('=') {
                Some(("kind", value)) => (&mut kind, value),
                Some(("source", value)) => (&mut source, value),
                Some(("readOnly", value)) => (&mut read_only, value),
                _ => return Err(invalid("kind=host, source=PATH and readOnly=true or false after the name")),
            };
            if slot.replace(value).is_some() {
                return Err(invalid("each field once"));
            }
        }
        if kind != Some("host") {
            return Err(invalid("kind=host"));
        }
        let source = source.ok_or_else(|| invalid("source=PATH"))?;
        Ok(Self {
            name,
            source: source.parse::<AbsolutePath>().map_err(|error| error.to_string())?,
            read_only: match read_only {
                None | Some("false") => false,
                Some("true") => true,
                Some(_) => return Err(invalid("readOnly=true or readOnly=false")),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images() {
        let hex = "0123456789abcdef".repeat(4);
        let parse = |text: &str| ImageArgument::parse(OsStr::new(text));
        let digest = Some(Digest::from_hex(&hex).unwrap());
        let image = |path: &str, digest| Ok(ImageArgument { path: path.into(), digest });
        assert_eq!(parse("a.aci"), image("a.aci", None));
        assert_eq!(parse(&format!("a.aci@sha256-{hex}")), image("a.aci", digest));
        assert_eq!(parse(&format!("a@sha256-x@sha256-{hex}")), image("a@sha256-x", digest));
        assert_eq!(parse("a@b"), image("a@b", None));
        assert_eq!(parse("a@sha256:../../x"), image("a@sha256:../../x", None));
        let other = OsStr::from_bytes(b"\xff");
        assert_eq!(ImageArgument::parse(other).unwrap().path.as_os_str(), other);
        for bad in
            ["", &format!("@sha256-{hex}"), "a@sha256-", "a@sha256-../../x", &format!("a@sha256-{hex}0")]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn volumes() {
        let volume = |source: &str, read_only| {
            let (name, source) = ("data".parse().unwrap(), source.parse().unwrap());
            Ok(VolumeArgument { name, source, read_only })
        };
        let parse = VolumeArgument::parse;
        assert_eq!(parse("data,kind=host,source=/srv"), volume("/srv", false));
        assert_eq!(parse("data,readOnly=true,source=/a=b:c,kind=host"), volume("/a=b:c", true));
        assert_eq!(parse("data,kind=host,source=/srv,readOnly=false"), volume("/srv", false));
        for bad in [
            "",
            "data",
            "Data,kind=host,source=/srv",
            "data,source=/srv",
            "data,kind=empty,source=/srv",
            "data,kind=host",
            "data,kind=host,source=",
            "data,kind=host,source=srv",
            "data,kind=host,source=/a/../b",
            "data,kind=host,source=/srv,readOnly=yes",
            "data,kind=host,source=/srv,readonly=true",
            "data,kind=host,source=/srv,source=/other",
            "data,kind=host,source=/a,b",
            "kind=host,source=/srv",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
