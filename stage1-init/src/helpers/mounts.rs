// SPDX-License-Identifier: Apache-2.0
//! Gives every app its /proc, /sys and /dev: the pod's /proc and /sys with their sensitive parts masked, and a /dev of
//! a few devices.
//!
//! This needs the pod's namespaces, so it can't be done earlier. The mount targets are in the app's root. None is
//! created there, because the volumes are already mounted.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use pod::layout;
use rustix::fs::{CWD, FileType, Mode, OFlags, StatVfsMountFlags, fstat, fstatvfs, makedev, mknodat, openat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount_remount};
use rustix::process::umask;
use sys::InRoot;
use sys::mounts::{
    Depth, MountAttrFlags, Submounts, attach, clone_tree, create, make_all_private, set_attributes,
};

use crate::exchange::outcome::PODS;
use crate::exchange::view::{COPIED, Copied, DEVICES, LINKS, MASKED, READ_ONLY, SHARED};
use crate::failure::{Step, report};
use crate::names::DEV;

/// Makes all mounts. On failure, reports why and returns a failure.
pub(crate) fn run() -> ExitCode {
    // If this fails, systemd starts it again, because the message still waits on the socket. The first run has reported
    // why.
    if fs::exists(DEV).unwrap_or(false) {
        return ExitCode::FAILURE;
    }
    match PODS.begin().context("cannot note that apps may start").and_then(|()| mount_all()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // `/init` reports the error, and ends as it does when it can't make a mount itself.
            if let Err(error) = PODS.fail(Step::Namespace, &error) {
                report(&error.into());
            }
            ExitCode::FAILURE
        }
    }
}

fn mount_all() -> Result<()> {
    // systemd makes its mounts shared. What is mounted on a copy of a shared mount appears on the other copies, too.
    make_all_private().context("cannot make the pod's mounts private")?;
    make_dev().context("cannot make the apps' /dev")?;
    hide().context("cannot mask what is sensitive")?;
    for app in fs::read_dir(format!("/{}", layout::APPS)).context("cannot list the apps")? {
        let root = app?.path();
        mount_into(&root).with_context(|| format!("cannot mount into {}", root.display()))?;
    }
    Ok(())
}

fn make_dev() -> Result<()> {
    fs::create_dir_all(DEV)?;
    let safe = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    attach(create("tmpfs", &[("mode", "0755"), ("size", "64k")], safe)?, File::open(DEV)?)?;
    let mode = Mode::from_raw_mode(0o666);
    let usual = umask(Mode::empty());
    for (name, major, minor) in DEVICES {
        let device = makedev(major, minor);
        mknodat(CWD, Path::new(DEV).join(name), FileType::CharacterDevice, mode, device)?;
    }
    umask(usual);
    for (name, target) in LINKS {
        symlink(target, Path::new(DEV).join(name))?;
    }
    for name in SHARED {
        let place = Path::new(DEV).join(name);
        fs::create_dir(&place)?;
        attach(clone_tree(&format!("/dev/{name}"), Submounts::Yes)?, File::open(place)?)?;
    }
    // No app may write to the only directory in which devices work. What is mounted below it stays writable.
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOEXEC;
    Ok(mount_remount(DEV, flags, "")?)
}

fn hide() -> Result<()> {
    let empty = || create("tmpfs", &[("mode", "0555"), ("size", "4k")], MountAttrFlags::MOUNT_ATTR_RDONLY);
    for path in MASKED {
        let Some(place) = open(path)? else { continue };
        let is_directory = FileType::from_raw_mode(fstat(&place)?.st_mode) == FileType::Directory;
        let mask = if is_directory { empty()? } else { clone_tree(&format!("{DEV}/null"), Submounts::No)? };
        attach(mask, place).context(path)?;
    }
    for path in READ_ONLY {
        let Some(place) = open(path)? else { continue };
        // nspawn makes most of them read-only.
        if fstatvfs(&place)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
            continue;
        }
        let tree = clone_tree(path, Submounts::Yes)?;
        set_attributes(&tree, MountAttrFlags::MOUNT_ATTR_RDONLY, Depth::All)?;
        attach(tree, place).context(path)?;
    }
    Ok(())
}

/// Opens the target of a mount; `None` if this kernel does not have it.
fn open(path: &str) -> Result<Option<OwnedFd>> {
    match openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => Ok(None),
        opened => Ok(Some(opened.with_context(|| format!("cannot open {path}"))?)),
    }
}

fn mount_into(root: &Path) -> Result<()> {
    let root = File::open(root)?;
    for Copied { at, source, read_only } in COPIED {
        let tree = clone_tree(source, Submounts::Yes)?;
        let mut attributes = MountAttrFlags::empty();
        attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, read_only);
        // The copy is private: what an app does to it is not seen outside the app.
        set_attributes(&tree, attributes, Depth::All)?;
        let place =
            InRoot::below(&root, at.trim_start_matches('/')).with_context(|| format!("cannot open {at}"))?;
        attach(tree.as_fd(), place).with_context(|| format!("cannot mount {at}"))?;
    }
    Ok(())
}
