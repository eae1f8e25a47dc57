// SPDX-License-Identifier: Apache-2.0
//! A volume of the pod as a command line defines it.

use std::collections::BTreeMap;

use pod::manifest::{Links, Ownership, Volume, VolumeKind};
use pod::name::VolumeName;
use pod::text::escape;

use crate::size::capacity;
use image::Invalid;

/// A volume: `NAME,kind=host,source=PATH[,readOnly=BOOL][,recursive=BOOL][,followLinks=BOOL]`,
/// `NAME,kind=empty[,mode=MODE][,uid=UID][,gid=GID][,size=BYTES[,inodes=N]][,readOnly=BOOL]` or
/// `NAME,kind=image[,readOnly=BOOL]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeArgument {
    /// The name of the mount points that it fulfils.
    pub name: VolumeName,
    /// The volume itself.
    pub volume: Volume,
}

impl VolumeArgument {
    /// Parses an argument. The name comes first, the fields in any order. A path can't contain a comma here; in a pod
    /// manifest it can.
    pub fn parse(argument: &str) -> Result<Self, Invalid> {
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
            Some("image") => VolumeKind::Image,
            Some("host") => VolumeKind::Host {
                source: fields
                    .remove("source")
                    .ok_or_else(|| invalid("source=PATH"))?
                    .parse()
                    .map_err(text)?,
                recursive: flag(fields.remove("recursive"), true)
                    .ok_or_else(|| invalid("recursive=true or recursive=false"))?,
                links: flag(fields.remove("followLinks"), false)
                    .map(Links::of_flag)
                    .ok_or_else(|| invalid("followLinks=true or followLinks=false"))?,
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
                let capacity = capacity(fields.remove("size"), fields.remove("inodes"))
                    .map_err(|why| format!("volume {name}: {why}"))?;
                VolumeKind::Empty { ownership: Ownership { mode, uid, gid }, capacity }
            }
            _ => return Err(invalid("kind=host, kind=empty or kind=image")),
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
    fn volumes() {
        let host = |source: &str, recursive, read_only| {
            let kind = VolumeKind::Host { source: source.parse().unwrap(), recursive, links: Links::Refused };
            Ok(VolumeArgument { name: "data".parse().unwrap(), volume: Volume { kind, read_only } })
        };
        let empty = |mode, uid, gid| {
            let kind = VolumeKind::Empty { ownership: Ownership { mode, uid, gid }, capacity: None };
            Ok(VolumeArgument { name: "data".parse().unwrap(), volume: Volume { kind, read_only: false } })
        };
        let parse = VolumeArgument::parse;
        assert_eq!(parse("data,kind=host,source=/srv"), host("/srv", true, false));
        assert_eq!(parse("data,readOnly=true,source=/a=b:c,kind=host"), host("/a=b:c", true, true));
        assert_eq!(
            parse("data,kind=host,source=/srv,readOnly=false,recursive=false"),
            host("/srv", false, false)
        );
        let followed = parse("data,kind=host,source=/srv,followLinks=true").unwrap().volume.kind;
        assert!(matches!(followed, VolumeKind::Host { links: Links::Followed, .. }));
        assert_eq!(parse("data,kind=empty"), empty(0o755, 0, 0));
        assert_eq!(parse("data,kind=image").unwrap().volume.kind, VolumeKind::Image);
        assert_eq!(parse("data,kind=empty,mode=1777,uid=7,gid=8"), empty(0o1777, 7, 8));
        let sized = |text: &str| match parse(text).unwrap().volume.kind {
            VolumeKind::Empty { capacity, .. } => capacity.map(|all| (all.bytes(), all.inodes())),
            VolumeKind::Host { .. } | VolumeKind::Image => None,
        };
        assert_eq!(sized("data,kind=empty,size=64m"), Some((64 << 20, 16_384)));
        assert_eq!(sized("data,kind=empty,inodes=9,size=4096"), Some((4096, 9)));
        for bad in [
            "data,kind=empty,size=0",
            "data,kind=empty,size=-1",
            "data,kind=empty,size=much",
            "data,kind=empty,size=9999999999999999999",
            "data,kind=empty,size=8388608t",
            "data,kind=empty,size=1m,inodes=0",
            "data,kind=empty,inodes=5",
            "data,kind=image,size=1m",
            "data,kind=host,source=/srv,size=1m",
            "",
            "data",
            "Data,kind=host,source=/srv",
            "data,source=/srv",
            "data,kind=empty,source=/srv",
            "data,kind=empty,mode=8",
            "data,kind=image,mode=0755",
            "data,kind=image,source=/srv",
            "data,kind=empty,uid=4294967295",
            "data,kind=empty,uid=root",
            "data,kind=host,source=/srv,mode=0755",
            "data,kind=host,source=/srv,recursive=1",
            "data,kind=host,source=/srv,followLinks=1",
            "data,kind=empty,followLinks=true",
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
