// SPDX-License-Identifier: Apache-2.0
//! An app's /dev: a few devices, in memory. `/init` makes it, since a pod with users of its own makes no devices
//! (user_namespaces(7), "Effect of capabilities within a user namespace").

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use pod::path::RelativePath;
use rustix::fs::{FileType, Mode, makedev, mkdirat, mknodat, symlinkat};
use rustix::process::umask;
use sys::mounts::{Depth, MountAttrFlags, attach, create, set_attributes};
use sys::{CalledOn as _, InRoot};

use crate::enter::users::Users;
use crate::enter::volumes::Volume;
use crate::exchange::view::{DEVICES, LINKS, NOTIFY, SHARED};

/// Mounts a /dev on `place`. This process must act as root of the app's users ([`Users::act`]).
///
/// The volumes in it get their places, and so does the socket of an app that says when it is up: nothing can be made in it
/// afterwards.
pub(crate) fn mount(place: &OwnedFd, users: &Users, volumes: &[Volume], notifies: bool) -> Result<()> {
    let safe = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let root = users.root().to_string();
    let options = [("mode", "0755"), ("size", "64k"), ("uid", root.as_str()), ("gid", root.as_str())];
    let dev = create("tmpfs", &options, safe)?;
    let usual = umask(Mode::empty());
    let filled = fill(&dev).map_err(anyhow::Error::from).and_then(|()| make_places(&dev, volumes, notifies));
    umask(usual);
    filled?;
    // No app may write to the only directory in which devices work. What is mounted in it stays writable.
    set_attributes(&dev, MountAttrFlags::MOUNT_ATTR_RDONLY, Depth::One)
        .context("cannot make it read-only")?;
    Ok(attach(dev, place)?)
}

/// Makes the places of volumes in it, while that is possible.
fn make_places(dev: &OwnedFd, volumes: &[Volume], notifies: bool) -> Result<()> {
    let root = InRoot::below(dev, ".")?;
    if notifies {
        let name = NOTIFY.trim_start_matches("/dev/");
        root.make_file(&RelativePath::from_bytes(name.as_bytes())?).context(NOTIFY)?;
    }
    for (place, is_directory) in
        volumes.iter().map(Volume::in_dev).collect::<Result<Vec<_>>>()?.into_iter().flatten()
    {
        let made = if is_directory { root.make_dir(&place) } else { root.make_file(&place) };
        made.with_context(|| format!("volume at /dev/{place}"))?;
    }
    Ok(())
}

fn fill(dev: &OwnedFd) -> Result<(), sys::Error> {
    for (name, major, minor) in DEVICES {
        let mode = Mode::from_raw_mode(0o666);
        let made = mknodat(dev, name, FileType::CharacterDevice, mode, makedev(major, minor));
        made.called_on("mknodat", name)?;
    }
    for (name, target) in LINKS {
        symlinkat(target, dev, name).called_on("symlinkat", name)?;
    }
    for name in SHARED {
        mkdirat(dev, name, Mode::from_raw_mode(0o755)).called_on("mkdirat", name)?;
    }
    Ok(())
}
