// SPDX-License-Identifier: Apache-2.0
//! What a person asks for, read from single arguments.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use pod::digest::Digest;
use pod::manifest::{Ownership, Volume, VolumeKind};
use pod::name::VolumeName;
use pod::text::{escape, escape_bytes};

use archive::Limits;
use store::Selector;

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
    /// What becomes of the trees.
    pub(crate) layout: LayoutArgument,
    /// What archives may ask for.
    pub(crate) limits: Limits,
}

/// How a pod gets its trees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LayoutArgument {
    /// As overlays where they can be made there, else as copies
    #[default]
    Auto,
    /// As overlays, with the pod's changes over trees of the store
    Overlay,
    /// As copies of its own, by reflink where the file system can
    Copy,
}

/// `FILE`, `FILE@sha256-HEX` or `FILE@sha512-HEX`; or an id or the beginning of one, of an image in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ImageArgument {
    /// An image's file; where there is none, perhaps an image's name.
    File {
        /// Where it is.
        path: PathBuf,
        /// What its tar must hash to.
        digest: Option<Digest>,
    },
    /// An image in the store.
    Stored(Selector),
}

/// `NAME,kind=host,source=PATH[,readOnly=BOOL][,recursive=BOOL]` or
/// `NAME,kind=empty[,mode=MODE][,uid=UID][,gid=GID][,readOnly=BOOL]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeArgument {
    /// Which mount points it fulfils.
    pub(crate) name: VolumeName,
    /// What it is.
    pub(crate) volume: Volume,
}

/// Why an argument is not understood.
pub(crate) type Invalid = String;

impl ImageArgument {
    /// The digest is what follows the last `@sha256-` or `@sha512-`.
    pub(crate) fn parse(argument: &OsStr) -> Result<Self, Invalid> {
        let bytes = argument.as_bytes();
        if let Some(selector) = argument.to_str().and_then(Selector::id) {
            return Ok(Self::Stored(selector));
        }
        let found = bytes.windows(8).rposition(|window| window == b"@sha256-" || window == b"@sha512-");
        let (path, digest) = match found {
            None => (bytes, None),
            Some(at) => {
                let text = String::from_utf8_lossy(&bytes[at + 1..]);
                (&bytes[..at], Some(text.parse::<Digest>().map_err(|error| error.to_string())?))
            }
        };
        if path.is_empty() {
            return Err(format!(
                "invalid image {}: expected FILE, FILE@sha256-HEX or FILE@sha512-HEX",
                escape_bytes(bytes)
            ));
        }
        Ok(Self::File { path: OsString::from_vec(path.to_vec()).into(), digest })
    }
}

impl VolumeArgument {
    /// The name comes first, fields in any order. A path can hold no comma here; a pod manifest has any.
    pub(crate) fn parse(argument: &str) -> Result<Self, Invalid> {
        let invalid = |expected: &str| format!("invalid volume {}: expected {expected}", escape(argument));
        let text = |error: pod::Error| error.to_string();
        let mut parts = argument.split(',');
        let name = parts.next().unwrap_or_default().parse::<VolumeName>().map_err(text)?;
        let mut fields = BTreeMap::new();
        for part in parts {
            let (field, value) = part.split_once('=').ok_or_else(|| invalid("FIELD=VALUE after the name"))?;
            if fields.insert(field, value).is_some() {
                return Err(invalid("each field once"));
            }
        }
        let kind = match fields.remove("kind") {
            Some("host") => VolumeKind::Host {
                source: fields
                    .remove("source")
                    .ok_or_else(|| invalid("source=PATH"))?
                    .parse()
                    .map_err(text)?,
                recursive: flag(fields.remove("recursive"), true)
                    .ok_or_else(|| invalid("recursive=true or recursive=false"))?,
            },
            Some("empty") => {
                let default = Ownership::default();
                let id = |value: Option<&str>, default| match value {
                    None => Ok(default),
                    Some(value) => value.parse().ok().map_or_else(
                        || Err(invalid("a number for uid and gid")),
                        |id| Ownership::check_id(id).map_err(text),
                    ),
                };
                let mode =
                    fields.remove("mode").map_or(Ok(default.mode), Ownership::parse_mode).map_err(text)?;
                let (uid, gid) =
                    (id(fields.remove("uid"), default.uid)?, id(fields.remove("gid"), default.gid)?);
                VolumeKind::Empty(Ownership { mode, uid, gid })
            }
            _ => return Err(invalid("kind=host or kind=empty")),
        };
        let read_only = flag(fields.remove("readOnly"), false)
            .ok_or_else(|| invalid("readOnly=true or readOnly=false"))?;
        match fields.keys().next() {
            None => Ok(Self { name, volume: Volume { kind, read_only } }),
            Some(unknown) => Err(invalid(&format!("no field {} for this kind", escape(unknown)))),
        }
    }
}

fn flag(value: Option<&str>, default: bool) -> Option<bool> {
    match value {
        None => Some(default),
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => None,
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
        let image = |path: &str, digest| Ok(ImageArgument::File { path: path.into(), digest });
        assert_eq!(parse("a.aci"), image("a.aci", None));
        assert_eq!(parse(&format!("a.aci@sha256-{hex}")), image("a.aci", digest));
        assert_eq!(parse(&format!("a@sha256-x@sha256-{hex}")), image("a@sha256-x", digest));
        assert_eq!(parse("a@b"), image("a@b", None));
        assert_eq!(parse("a@sha256:../../x"), image("a@sha256:../../x", None));
        let other = OsStr::from_bytes(b"\xff");
        assert_eq!(ImageArgument::parse(other), Ok(ImageArgument::File { path: other.into(), digest: None }));
        let stored = |text: &str| Ok(ImageArgument::Stored(Selector::id(text).unwrap()));
        for id in ["sha256-0", &format!("sha256-{hex}"), &format!("sha512-{hex}{hex}")] {
            assert_eq!(parse(id), stored(id));
        }
        assert_eq!(parse("./sha256-0"), image("./sha256-0", None));
        for bad in
            ["", &format!("@sha256-{hex}"), "a@sha256-", "a@sha256-../../x", &format!("a@sha256-{hex}0")]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn volumes() {
        let host = |source: &str, recursive, read_only| {
            let kind = VolumeKind::Host { source: source.parse().unwrap(), recursive };
            Ok(VolumeArgument { name: "data".parse().unwrap(), volume: Volume { kind, read_only } })
        };
        let empty = |mode, uid, gid| {
            let kind = VolumeKind::Empty(Ownership { mode, uid, gid });
            Ok(VolumeArgument { name: "data".parse().unwrap(), volume: Volume { kind, read_only: false } })
        };
        let parse = VolumeArgument::parse;
        assert_eq!(parse("data,kind=host,source=/srv"), host("/srv", true, false));
        assert_eq!(parse("data,readOnly=true,source=/a=b:c,kind=host"), host("/a=b:c", true, true));
        assert_eq!(
            parse("data,kind=host,source=/srv,readOnly=false,recursive=false"),
            host("/srv", false, false)
        );
        assert_eq!(parse("data,kind=empty"), empty(0o755, 0, 0));
        assert_eq!(parse("data,kind=empty,mode=1777,uid=7,gid=8"), empty(0o1777, 7, 8));
        for bad in [
            "",
            "data",
            "Data,kind=host,source=/srv",
            "data,source=/srv",
            "data,kind=empty,source=/srv",
            "data,kind=empty,mode=8",
            "data,kind=empty,uid=4294967295",
            "data,kind=empty,uid=root",
            "data,kind=host,source=/srv,mode=0755",
            "data,kind=host,source=/srv,recursive=1",
            "data,kind=tmpfs",
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
