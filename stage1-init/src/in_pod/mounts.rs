// SPDX-License-Identifier: Apache-2.0
//! Gives every app its /proc, /sys and /dev: the pod's /proc and /sys with what is sensitive in them masked, and a /dev
//! of a few devices.
//!
//! This can't be done before the pod's namespaces are there. The targets are in the app's root, and nothing is made
//! there: by now volumes are.

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

use crate::failure::{Step, report};
use crate::filesystem::{Submounts, attach, clone_tree, create};
use crate::in_root::InRoot;
use crate::outcome::PODS;
use crate::plan::view::{COPIED, Copied, DEV, DEVICES, LINKS, MASKED, READ_ONLY, SHARED};
use crate::sys::{Depth, set_attributes};

/// Mounts, or says why not and returns a failure.
pub(crate) fn run() -> ExitCode {
    // The message that waits on the socket has this started again where it failed. Once is enough to say why.
    if fs::exists(DEV).unwrap_or(false) {
        return ExitCode::FAILURE;
    }
    match mount_all() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // `/init` tells it, and ends as where it can't make a mount itself.
            if let Err(error) = PODS.fail(Step::Namespace, &error) {
                report(&error.into());
            }
            ExitCode::FAILURE
        }
    }
}

fn mount_all() -> Result<()> {
    // systemd shares its mounts, and what is shared multiplies what is mounted in its copies.
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
    // The one directory where devices work is nobody's to write in. What is mounted below it still is.
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
        // nspawn makes most of them so.
        if fstatvfs(&place)?.flags().contains(FsFlags::ST_RDONLY) {
            continue;
        }
        let tree = clone_tree(path, Submounts::Yes)?;
        set_attributes(&tree, MountAttrFlags::MOUNT_ATTR_RDONLY, Depth::All)?;
        attach(tree, place).context(path)?;
    }
    Ok(())
}

/// Opens what a mount goes on. Not every kernel has every one of them.
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
        // Private: what happens to it in an app stays there.
        set_attributes(&tree, attributes, Depth::All)?;
        let place = InRoot::open_at(&root, at.trim_start_matches('/'))
            .with_context(|| format!("cannot open {at}"))?;
        attach(tree.as_fd(), place).with_context(|| format!("cannot mount {at}"))?;
    }
    Ok(())
}
