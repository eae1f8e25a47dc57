// SPDX-License-Identifier: Apache-2.0
//! Placement of volumes: which volume is mounted where.

use std::collections::BTreeMap;

use super::{Mount, Source};
use crate::error::{Error, Result};
use crate::manifest::{MountPoint, Ownership, PodMount, PodVolume, Volume, VolumeKind};
use crate::name::{AppName, VolumeName};
use crate::path::AbsolutePath;

/// Places where every app has mounts of the pod, which would hide a volume.
const RESERVED: [&str; 2] = ["/proc", "/sys"];
/// The directory in which an app may have a device or a socket of its own beside those that all apps have.
const DEV: &str = "/dev";
/// The names in every app's /dev.
const IN_DEV: [&str; 15] = [
    "null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "fd", "stdin", "stdout", "stderr",
    "pts", "shm", "mqueue",
];

pub(super) type Volumes = BTreeMap<VolumeName, Volume>;

pub(super) fn root() -> AbsolutePath {
    "/".parse().expect("/ is an absolute path")
}

pub(super) fn add_volume(volumes: &mut Volumes, name: &VolumeName, volume: &Volume) -> Result<()> {
    match volumes.insert(name.clone(), volume.clone()) {
        Some(_) => Err(Error::new(format!("two volumes for mount point {name}: expected one"))),
        None => Ok(()),
    }
}

/// Places the volumes: at the mounts that the pod names, and at the app's mount points that have no such mount. A mount
/// point without a volume gets an empty one of the app's own, with a warning.
pub(super) fn place(
    app: &AppName,
    points: &[MountPoint],
    volumes: &Volumes,
    named: &[PodMount],
    warnings: &mut Vec<String>,
) -> Result<Vec<Mount>> {
    let (mut placed, mut own) = (Vec::new(), Volumes::new());
    for PodMount { volume: name, path, app_volume } in named {
        let read_only = points.iter().any(|point| point.path == *path && point.read_only);
        placed.push(match app_volume {
            Some(PodVolume { name, volume }) => {
                add_own(&mut own, name, volume)?;
                mount(name, Some(app), volume, path, read_only)
            }
            None => {
                let volume = volumes.get(name).ok_or_else(|| {
                    Error::new(format!("mount at {path} names volume {name}, which the pod does not have"))
                })?;
                mount(name, None, volume, path, read_only)
            }
        });
    }
    for point in points.iter().filter(|point| !named.iter().any(|mount| mount.path == point.path)) {
        let MountPoint { name, path, read_only } = point;
        if let Some(volume) = volumes.get(name) {
            placed.push(mount(name, None, volume, path, *read_only));
            continue;
        }
        let volume = own.entry(name.clone()).or_insert_with(|| {
            warnings.push(format!(
                "app {app}: mount point {name} at {path} has no volume: it gets an empty volume, and what the image has \
                 there is hidden; expected --volume {name},kind=empty, kind=image or kind=host,source=PATH"
            ));
            let kind = VolumeKind::Empty { ownership: Ownership::default(), capacity: None };
            Volume { kind, read_only: false }
        });
        placed.push(mount(name, Some(app), volume, path, *read_only));
    }
    let targets: Vec<_> = placed.iter().map(|mount| mount.target.clone()).collect();
    check_targets(&targets)?;
    Ok(placed)
}

/// Adds a volume of the app's own. It may be specified again with each of its mounts, always in the same way.
fn add_own(own: &mut Volumes, name: &VolumeName, volume: &Volume) -> Result<()> {
    match own.insert(name.clone(), volume.clone()) {
        Some(other) if other != *volume => {
            Err(Error::new(format!("two different volumes {name} of the app's own: expected distinct names")))
        }
        _ => Ok(()),
    }
}

fn mount(
    name: &VolumeName,
    app: Option<&AppName>,
    volume: &Volume,
    target: &AbsolutePath,
    read_only: bool,
) -> Mount {
    let empty = |ownership, capacity, is_copied| Source::Empty {
        volume: name.clone(),
        app: app.cloned(),
        ownership,
        capacity,
        is_copied,
    };
    let source = match &volume.kind {
        VolumeKind::Host { source, recursive, links } => {
            Source::Host { path: source.clone(), recursive: *recursive, links: *links }
        }
        VolumeKind::Image => empty(Ownership::default(), None, true),
        VolumeKind::Empty { ownership, capacity } => empty(*ownership, *capacity, false),
    };
    Mount { source, target: target.clone(), read_only: read_only || volume.read_only }
}

/// Tells whether a place is, or is in, what all apps have in /dev.
fn of_all_apps(target: &AbsolutePath) -> bool {
    let name = target.as_str().strip_prefix("/dev/").and_then(|rest| rest.split('/').next());
    name.is_some_and(|name| IN_DEV.contains(&name))
}

/// Checks that volumes at these places of one tree appear as intended.
///
/// # Errors
/// Fails if one would hide the app or another volume, or be hidden.
pub fn check_targets(targets: &[AbsolutePath]) -> Result<()> {
    for (index, target) in targets.iter().enumerate() {
        if *target == root() {
            return Err(Error::new("a mount at \"/\" would hide the app: expected a path below it"));
        }
        let hides = |reserved: &str| reserved.parse().is_ok_and(|path: AbsolutePath| path.contains(target));
        if let Some(reserved) = RESERVED.into_iter().find(|reserved| hides(reserved)) {
            return Err(Error::new(format!(
                "mount at {target}: {reserved} is the pod's own; expected another place"
            )));
        }
        if target.as_str() == DEV || of_all_apps(target) {
            return Err(Error::new(format!(
                "mount at {target}: it is what all apps have there; expected another place"
            )));
        }
        let overlap = |other: &&AbsolutePath| other.contains(target) || target.contains(other);
        if let Some(other) = targets[..index].iter().find(overlap) {
            return Err(Error::new(format!(
                "mounts at {other} and {target} overlap: expected distinct places"
            )));
        }
    }
    Ok(())
}
