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
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, fstat, makedev, mknod, umask};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use pod::layout;
use rustix::mount::MountAttrFlags;

use crate::exchange::outcome::PODS;
use crate::exchange::view::{COPIED, Copied, DEV, DEVICES, LINKS, MASKED, READ_ONLY, SHARED};
use crate::failure::{Step, report};
use crate::filesystem::{Submounts, attach, clone_tree, create};
use crate::in_root::InRoot;
use crate::sys::{Depth, set_attributes};

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
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("cannot make the pod's mounts private")?;
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
    let mode = Mode::from_bits_truncate(0o666);
    let usual = umask(Mode::empty());
    for (name, major, minor) in DEVICES {
        mknod(Path::new(DEV).join(name).as_path(), SFlag::S_IFCHR, mode, makedev(major, minor))?;
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
    let flags =
        MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    Ok(mount(None::<&str>, DEV, None::<&str>, flags, None::<&str>)?)
}

fn hide() -> Result<()> {
    let empty = || create("tmpfs", &[("mode", "0555"), ("size", "4k")], MountAttrFlags::MOUNT_ATTR_RDONLY);
    for path in MASKED {
        let Some(place) = open(path)? else { continue };
        let is_directory =
            SFlag::from_bits_truncate(fstat(&place)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR;
        let mask = if is_directory { empty()? } else { clone_tree(&format!("{DEV}/null"), Submounts::No)? };
        attach(mask, place).context(path)?;
    }
    for path in READ_ONLY {
        let Some(place) = open(path)? else { continue };
        // nspawn makes most of them read-only.
        if fstatvfs(&place)?.flags().contains(FsFlags::ST_RDONLY) {
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
    match nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty()) {
        Err(Errno::ENOENT) => Ok(None),
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
        let place = InRoot::open_at(&root, at.trim_start_matches('/'))
            .with_context(|| format!("cannot open {at}"))?;
        attach(tree.as_fd(), place).with_context(|| format!("cannot mount {at}"))?;
    }
    Ok(())
}
