// SPDX-License-Identifier: Apache-2.0
//! Values of options about mounts: `--volume`, `--mount` and `--device`.
//!
//! A path with a colon or a comma can't be given like this; in a pod manifest it can.

use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use pod::isolators::Capacity;
use pod::manifest::{Links, Ownership, Volume, VolumeKind};
use pod::name::VolumeName;
use pod::path::AbsolutePath;
use pod::text::escape;

use super::settings::{AppMount, MountSource, VolumeOption};
use crate::size::capacity;
use crate::volume_argument::VolumeArgument;
use image::Invalid;

impl VolumeOption {
    /// Parses the value of `--volume`: a volume of the pod, `NAME,kind=…`, or a mount in an app, `SRC:DST[:ro]` or `DST`.
    ///
    /// SRC is a path of the host's or the name of a volume of the pod. Without SRC, the app has a new directory at DST.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let first = text.split(',').next().unwrap_or_default();
        // Names of 0.1 may have slashes, and begin with none.
        if first.starts_with('/') || first.contains(':') {
            return mount(text).map(Self::Mount);
        }
        VolumeArgument::parse(text).map(Self::Volume)
    }
}

impl AppMount {
    /// Parses the value of `--mount`: `type=bind,source=PATH,target=PATH[,ro]`,
    /// `type=volume,target=PATH[,ro][,size=BYTES[,inodes=N]]` or `type=volume,source=NAME,target=PATH`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = |expected: &str| format!("invalid mount {}: expected {expected}", escape(text));
        let (mut kind, mut source, mut target) = ("volume", None, None);
        let (mut read_only, mut recursive, mut links) = (false, true, Links::Refused);
        let (mut size, mut inodes) = (None, None);
        for field in text.split(',') {
            let (name, value) = field.split_once('=').unwrap_or((field, "true"));
            let flag = || match value {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(invalid(&format!("{name}=true or {name}=false"))),
            };
            match name {
                "type" => kind = value,
                "source" | "src" => source = Some(value),
                "volume" => (kind, source) = ("volume", Some(value)),
                "target" | "destination" | "dst" => target = Some(value),
                "ro" | "readonly" => read_only = flag()?,
                "rw" => read_only = !flag()?,
                "bind-nonrecursive" => recursive = !flag()?,
                "follow-links" => links = Links::of_flag(flag()?),
                "size" => size = Some(value),
                "inodes" => inodes = Some(value),
                _ => {
                    return Err(invalid(
                        "the fields type, source, target, ro, bind-nonrecursive, follow-links, size and inodes",
                    ));
                }
            }
        }
        let target = path(target.ok_or_else(|| invalid("target=PATH"))?)?;
        let capacity = capacity(size, inodes).map_err(|why| format!("mount at {target}: {why}"))?;
        if capacity.is_some() && (kind, source) != ("volume", None) {
            return Err(invalid("the fields size and inodes for type=volume without a source alone"));
        }
        let source = match (kind, source) {
            ("bind", Some(source)) => {
                MountSource::Own(Volume { kind: host(source, recursive, links)?, read_only })
            }
            ("bind", None) => return Err(invalid("source=PATH for type=bind")),
            ("volume", None) => MountSource::Own(Volume { read_only, ..empty(capacity) }),
            ("volume", Some(_)) if read_only => {
                return Err(invalid("readOnly=true where the volume is defined: --volume NAME,kind=…"));
            }
            ("volume", Some(name)) => MountSource::OfPod(volume_name(name)?),
            _ => return Err(invalid("type=bind or type=volume")),
        };
        Ok(Self { target, source })
    }

    /// Parses the value of `--device`: `SRC[:DST]`, where SRC is a device of the host's.
    pub fn device(text: &str) -> Result<Self, Invalid> {
        let invalid = |expected: &str| format!("invalid device {}: expected {expected}", escape(text));
        let words: Vec<_> = text.split(':').collect();
        let (source, target) = match *words.as_slice() {
            // A read-only mount doesn't prevent writing to a device.
            [_, "r" | "rm"] | [_, _, "r" | "rm"] => {
                return Err(invalid("rw or nothing: its permissions on the host decide who writes to it"));
            }
            [source] | [source, "rwm" | "rw"] => (source, source),
            [source, target] | [source, target, "rwm" | "rw"] => (source, target),
            _ => return Err(invalid("SRC[:DST][:rw]")),
        };
        if !is_device(source) {
            return Err(invalid("a device of the host's"));
        }
        let target = path(target)?;
        let source =
            MountSource::Own(Volume { kind: host(source, false, Links::Refused)?, read_only: false });
        Ok(Self { target, source })
    }
}

/// Parses `SRC:DST[:OPTIONS]` or `DST`.
fn mount(text: &str) -> Result<AppMount, Invalid> {
    let invalid = |expected: &str| format!("invalid volume {}: expected {expected}", escape(text));
    let words: Vec<_> = text.split(':').collect();
    let (source, target, options) = match *words.as_slice() {
        [target] => {
            return Ok(AppMount { target: path(target)?, source: MountSource::Own(empty(None)) });
        }
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => return Err(invalid("SRC:DST[:ro]")),
    };
    let (mut read_only, mut recursive, mut links) = (false, true, Links::Refused);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            "rbind" => recursive = true,
            "bind" => recursive = false,
            "follow-links" => links = Links::Followed,
            _ => return Err(invalid("the options ro, rw, bind, rbind and follow-links")),
        }
    }
    let target = path(target)?;
    if source.starts_with(['/', '.']) {
        let source = MountSource::Own(Volume { kind: host(source, recursive, links)?, read_only });
        return Ok(AppMount { target, source });
    }
    if read_only {
        return Err(invalid("readOnly=true where the volume is defined: --volume NAME,kind=…"));
    }
    Ok(AppMount { target, source: MountSource::OfPod(volume_name(source)?) })
}

/// Returns the kind of a volume of the host's. A path that begins with a dot is found from the current directory.
fn host(source: &str, recursive: bool, links: Links) -> Result<VolumeKind, Invalid> {
    let absolute = if source.starts_with('.') { std::path::absolute(Path::new(source)).ok() } else { None };
    let source = match &absolute {
        Some(absolute) => path(&absolute.to_string_lossy())?,
        None => path(source)?,
    };
    Ok(VolumeKind::Host { source, recursive, links })
}

/// Tells whether a path is one of a device, or of nothing, which is an error of its own later on.
fn is_device(path: &str) -> bool {
    std::fs::metadata(path)
        .map_or(true, |found| found.file_type().is_char_device() || found.file_type().is_block_device())
}

fn empty(capacity: Option<Capacity>) -> Volume {
    Volume { kind: VolumeKind::Empty { ownership: Ownership::default(), capacity }, read_only: false }
}

fn path(text: &str) -> Result<AbsolutePath, Invalid> {
    text.parse().map_err(|error: pod::Error| error.to_string())
}

fn volume_name(text: &str) -> Result<VolumeName, Invalid> {
    text.parse().map_err(|error: pod::Error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_host(source: &str, target: &str, recursive: bool, read_only: bool) -> AppMount {
        let kind = VolumeKind::Host { source: source.parse().unwrap(), recursive, links: Links::Refused };
        AppMount { target: target.parse().unwrap(), source: MountSource::Own(Volume { kind, read_only }) }
    }

    fn new(target: &str, read_only: bool) -> AppMount {
        AppMount {
            target: target.parse().unwrap(),
            source: MountSource::Own(Volume { read_only, ..empty(None) }),
        }
    }

    fn of_pod(name: &str, target: &str) -> AppMount {
        AppMount { target: target.parse().unwrap(), source: MountSource::OfPod(name.parse().unwrap()) }
    }

    #[test]
    fn volumes_as_podman_writes_them() {
        let parse = |text: &str| match VolumeOption::parse(text) {
            Ok(VolumeOption::Mount(mount)) => Ok(mount),
            other => Err(format!("{other:?}")),
        };
        assert_eq!(parse("/a:/b"), Ok(of_host("/a", "/b", true, false)));
        assert_eq!(parse("/a:/b:ro"), Ok(of_host("/a", "/b", true, true)));
        assert_eq!(parse("/a,b:/b:rw,bind"), Ok(of_host("/a,b", "/b", false, false)));
        let links = |mount: AppMount| match mount.source {
            MountSource::Own(Volume { kind: VolumeKind::Host { links, .. }, .. }) => links,
            other => panic!("{other:?}"),
        };
        assert_eq!(parse("/a:/b:ro,follow-links").map(links), Ok(Links::Followed));
        let mount = AppMount::parse("type=bind,source=/a,target=/b,follow-links=true");
        assert_eq!(mount.map(links), Ok(Links::Followed));
        assert_eq!(parse("data:/b"), Ok(of_pod("data", "/b")));
        assert_eq!(parse("/b"), Ok(new("/b", false)));
        let here = std::env::current_dir().unwrap();
        assert_eq!(parse("./x:/b"), Ok(of_host(&format!("{}/x", here.display()), "/b", true, false)));
        assert!(matches!(VolumeOption::parse("data,kind=host,source=/a:b"), Ok(VolumeOption::Volume(_))));
        for bad in [
            "",
            "a",
            "/a:b",
            "/a:/b:/c",
            "/a:/b:ro:x",
            "/a:/b:z",
            "../x:/b",
            "data:/b:ro",
            "Data:/b",
            ":/b",
            "/a:",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mounts_as_podman_writes_them() {
        let parse = AppMount::parse;
        assert_eq!(parse("type=bind,source=/a,target=/b"), Ok(of_host("/a", "/b", true, false)));
        assert_eq!(
            parse("type=bind,src=/a,dst=/b,ro,bind-nonrecursive=true"),
            Ok(of_host("/a", "/b", false, true))
        );
        assert_eq!(parse("type=volume,destination=/b,readonly=true"), Ok(new("/b", true)));
        let sized = parse("type=volume,target=/b,size=1m,inodes=7").unwrap();
        assert_eq!(sized.source, MountSource::Own(empty(capacity(Some("1m"), Some("7")).unwrap())));
        assert_eq!(parse("type=volume,src=data,dst=/b"), Ok(of_pod("data", "/b")));
        assert_eq!(parse("volume=data,target=/b"), Ok(of_pod("data", "/b")), "as rkt has it");
        for (bad, why) in [
            ("", "the fields"),
            ("type=bind,target=/b", "source=PATH"),
            ("type=bind,source=/a", "target=PATH"),
            ("type=tmpfs,target=/b", "type=bind or type=volume"),
            ("type=bind,source=/a,target=/b,ro=x", "ro=true or ro=false"),
            ("type=bind,source=/a,target=/b,size=1", "the fields"),
            ("type=volume,source=data,target=/b,size=1", "the fields"),
            ("type=volume,target=/b,size=0", "mount at \"/b\": invalid size \"0\""),
            ("type=volume,target=/b,size=1m,inodes=x", "invalid inodes"),
            ("type=volume,target=/b,inodes=1", "without a size"),
            ("type=bind,source=a,target=/b", "path"),
            ("volume=data,target=/b,ro", "where the volume is defined"),
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.contains(why) && !error.contains('\n'), "{bad}: {error}");
        }
    }

    #[test]
    fn devices() {
        let parse = AppMount::device;
        assert_eq!(parse("/dev/fuse:/srv/fuse"), Ok(of_host("/dev/fuse", "/srv/fuse", false, false)));
        assert_eq!(parse("/dev/fuse"), Ok(of_host("/dev/fuse", "/dev/fuse", false, false)));
        assert_eq!(parse("/dev/fuse:/dev/other:rwm"), Ok(of_host("/dev/fuse", "/dev/other", false, false)));
        for bad in
            ["", "/a:/b:x", "/a:/b:rw:/c", "/etc/passwd", "fuse", "/dev/fuse:r", "/dev/fuse:/dev/other:rm"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
