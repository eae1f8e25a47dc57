// SPDX-License-Identifier: Apache-2.0
//! Volumes that a pod mounts into its apps.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::field::or_null;
use crate::error::{Error, Result};
use crate::isolators::Capacity;
use crate::name::VolumeName;
use crate::path::AbsolutePath;
use crate::text::escape;

/// A volume, without its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The volume's kind, with the fields of that kind.
    pub kind: VolumeKind,
    /// Whether it is read-only for all apps.
    pub read_only: bool,
}

/// The kind of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeKind {
    /// A file or directory of the host.
    Host {
        /// Its path.
        source: AbsolutePath,
        /// Whether mounts below it are included.
        recursive: bool,
        /// Whether links in its path are followed.
        links: Links,
    },
    /// A directory of the pod's own that begins with what the image has at the mount point: content, owner, mode. Of
    /// several apps that have it, the first one's image counts. It is filled when the pod is prepared.
    Image,
    /// A directory of the pod's own, empty at first.
    Empty {
        /// Its permissions, user and group.
        ownership: Ownership,
        /// How much it holds. Then it is in memory, and there as long as the pod runs; without one, it is a directory on
        /// disk, and there as long as the pod's.
        capacity: Option<Capacity>,
    },
}

/// The treatment of links in the path of a volume's source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// They are refused, wherever in the path they are.
    #[default]
    Refused,
    /// They are followed, once at each start of the pod. Those of /proc that lead to what a process has open never are.
    Followed,
}

impl Links {
    /// Returns the one that a manifest means by a flag.
    pub fn of_flag(follow: bool) -> Self {
        if follow { Self::Followed } else { Self::Refused }
    }
}

/// The permissions, user and group of an empty volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// Permissions, at most 0o7777.
    pub mode: u32,
    /// Its user, not 2^32−1.
    pub uid: u32,
    /// Its group, not 2^32−1.
    pub gid: u32,
}

/// A volume of a pod of 0.8, with its name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct PodVolume {
    /// Its name.
    pub name: VolumeName,
    /// The volume's kind, with the fields of that kind.
    pub volume: Volume,
}

/// A volume of a pod of 0.1, with the mount points that it fulfils.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct RuntimeVolume {
    /// The volume's kind, with the fields of that kind.
    pub volume: Volume,
    /// The mount points at which it is mounted, in every app that has them.
    pub fulfills: Vec<VolumeName>,
}

/// A volume as written in a manifest of either version.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<VolumeName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fulfills: Option<Vec<VolumeName>>,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<AbsolutePath>,
    #[serde(default, deserialize_with = "or_null")]
    read_only: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recursive: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    follow_links: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inodes: Option<Value>,
}

impl Default for Ownership {
    /// The defaults of the specification.
    fn default() -> Self {
        Self { mode: 0o755, uid: 0, gid: 0 }
    }
}

impl Ownership {
    /// Reads a mode as written in manifests: octal digits.
    ///
    /// # Errors
    /// Fails if it is anything else or above 7777.
    pub fn parse_mode(text: &str) -> Result<u32> {
        let octal = !text.is_empty() && text.len() <= 5 && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| octal && *mode <= 0o7777);
        mode.ok_or_else(|| {
            Error::new(format!("invalid mode {}: expected octal digits such as 0755", escape(text)))
        })
    }

    /// Checks an owner's number.
    ///
    /// # Errors
    /// Fails if it is 2^32−1, which means "unchanged" to chown(2).
    pub fn check_id(id: u32) -> Result<u32> {
        match id {
            u32::MAX => Err(Error::new(format!("invalid owner {id}: expected a number up to 4294967294"))),
            id => Ok(id),
        }
    }
}

impl TryFrom<Raw> for PodVolume {
    type Error = Error;

    fn try_from(mut raw: Raw) -> Result<Self> {
        let name = raw.name.take().ok_or_else(|| Error::new("a volume has no name: expected one"))?;
        let volume = raw.volume().map_err(|error| error.within(format_args!("volume {name}")))?;
        Ok(Self { name, volume })
    }
}

impl TryFrom<Raw> for RuntimeVolume {
    type Error = Error;

    fn try_from(mut raw: Raw) -> Result<Self> {
        let fulfills = raw.fulfills.take();
        let fulfills =
            fulfills.ok_or_else(|| Error::new("a volume fulfills nothing: expected mount points"))?;
        Ok(Self { fulfills, volume: raw.volume()? })
    }
}

impl Raw {
    fn volume(self) -> Result<Volume> {
        let capacity = match (&self.size, &self.inodes) {
            (None, None) => None,
            (None, Some(_)) => return Err(Error::new("inodes without a size: expected both, or neither")),
            (Some(_), _) if self.kind != "empty" => {
                return Err(Error::new(format!("kind {} has a size: expected none", escape(&self.kind))));
            }
            (Some(size), inodes) => {
                Some(Capacity::parse(size, inodes.as_ref()).map_err(|error| error.within("size"))?)
            }
        };
        if self.follow_links.is_some() && self.kind != "host" {
            return Err(Error::new(format!("kind {} has followLinks: expected none", escape(&self.kind))));
        }
        let kind = match self.kind.as_str() {
            "host" => VolumeKind::Host {
                source: self.source.ok_or_else(|| Error::new("kind host has no source: expected a path"))?,
                recursive: self.recursive.unwrap_or(true),
                links: Links::of_flag(self.follow_links == Some(true)),
            },
            "empty" => {
                if let Some(source) = self.source {
                    return Err(Error::new(format!("kind empty has source {source}: expected none")));
                }
                let default = Ownership::default();
                let ownership = Ownership {
                    mode: self.mode.as_deref().map_or(Ok(default.mode), Ownership::parse_mode)?,
                    uid: Ownership::check_id(self.uid.unwrap_or(default.uid))?,
                    gid: Ownership::check_id(self.gid.unwrap_or(default.gid))?,
                };
                VolumeKind::Empty { ownership, capacity }
            }
            "image" => {
                let Self { source, mode, uid, gid, .. } = &self;
                if source.is_some() || mode.is_some() || uid.is_some() || gid.is_some() {
                    return Err(Error::new("kind image has a source, mode or owner: expected the image's"));
                }
                VolumeKind::Image
            }
            other => {
                return Err(Error::new(format!(
                    "unknown volume kind {}: expected host, empty or image",
                    escape(other)
                )));
            }
        };
        Ok(Volume { kind, read_only: self.read_only })
    }
}

impl From<RuntimeVolume> for Raw {
    fn from(RuntimeVolume { volume, fulfills }: RuntimeVolume) -> Self {
        let raw = Self { fulfills: Some(fulfills), read_only: volume.read_only, ..Self::default() };
        match volume.kind {
            VolumeKind::Host { source, recursive, links } => Self {
                kind: "host".into(),
                source: Some(source),
                recursive: (!recursive).then_some(false),
                follow_links: (links == Links::Followed).then_some(true),
                ..raw
            },
            VolumeKind::Image => Self { kind: "image".into(), ..raw },
            VolumeKind::Empty { ownership: Ownership { mode, uid, gid }, capacity } => Self {
                kind: "empty".into(),
                mode: Some(format!("{mode:04o}")),
                uid: Some(uid),
                gid: Some(gid),
                size: capacity.map(|capacity| capacity.bytes().to_string().into()),
                inodes: capacity.map(|capacity| capacity.inodes().into()),
                ..raw
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn text_and_back() {
        let empty = |(mode, uid, gid), capacity| VolumeKind::Empty {
            ownership: Ownership { mode, uid, gid },
            capacity,
        };
        for (written, kind) in [
            (
                json!({"kind": "host", "source": "/a:b\\ c", "readOnly": true}),
                VolumeKind::Host {
                    source: "/a:b\\ c".parse().unwrap(),
                    recursive: true,
                    links: Links::Refused,
                },
            ),
            (
                json!({"kind": "host", "source": "/a", "readOnly": false, "followLinks": true}),
                VolumeKind::Host { source: "/a".parse().unwrap(), recursive: true, links: Links::Followed },
            ),
            (
                json!({"kind": "host", "source": "/a", "readOnly": false, "recursive": false}),
                VolumeKind::Host { source: "/a".parse().unwrap(), recursive: false, links: Links::Refused },
            ),
            (json!({"kind": "image", "readOnly": true}), VolumeKind::Image),
            (
                json!({"kind": "empty", "readOnly": false, "mode": "1777", "uid": 1, "gid": 2}),
                empty((0o1777, 1, 2), None),
            ),
            (
                json!({"kind": "empty", "readOnly": false, "mode": "1777", "uid": 1, "gid": 2,
                       "size": "4096", "inodes": 7}),
                empty((0o1777, 1, 2), Some(Capacity::parse(&json!("4Ki"), Some(&json!("7"))).unwrap())),
            ),
        ] {
            let mut written = written;
            written["fulfills"] = json!(["data"]);
            let read: RuntimeVolume = from_value(written.clone()).unwrap();
            assert_eq!(read.volume.kind, kind);
            assert_eq!(to_value(read).unwrap(), written);
        }
        for nothing in [json!({}), json!({"size": null, "inodes": null})] {
            let mut written = nothing;
            (written["name"], written["kind"]) = (json!("a"), json!("empty"));
            let read: PodVolume = from_value(written).unwrap();
            assert_eq!(read.volume.kind, empty((0o755, 0, 0), None));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            json!({"kind": "host"}),
            json!({"kind": "host", "source": ""}),
            json!({"kind": "host", "source": "a"}),
            json!({"kind": "tmpfs"}),
            json!({"kind": "image", "source": "/srv"}),
            json!({"kind": "image", "mode": "0755"}),
            json!({"kind": "image", "followLinks": true}),
            json!({"kind": "empty", "followLinks": false}),
            json!({"kind": "host", "source": "/a", "followLinks": "true"}),
            json!({"kind": "empty", "mode": "rwx"}),
            json!({"kind": "empty", "mode": "+755"}),
            json!({"kind": "empty", "mode": "10000"}),
            json!({"kind": "empty", "uid": 4_294_967_295_u32}),
            json!({"kind": "empty", "gid": -1}),
            json!({"kind": "empty", "source": "/srv"}),
            json!({"kind": "empty", "size": "0"}),
            json!({"kind": "empty", "size": "-1"}),
            json!({"kind": "empty", "size": -1}),
            json!({"kind": "empty", "size": "much"}),
            json!({"kind": "empty", "size": "8Ei"}),
            json!({"kind": "empty", "size": "1M", "inodes": 0}),
            json!({"kind": "empty", "inodes": 5}),
            json!({"kind": "host", "source": "/srv", "size": "1M"}),
        ] {
            let mut named = bad.clone();
            named["name"] = json!("data");
            assert!(from_value::<PodVolume>(named).is_err(), "{bad}");
        }
    }
}
