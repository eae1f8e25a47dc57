// SPDX-License-Identifier: Apache-2.0
//! Gives every app its /proc and /sys, which are the pod's with their sensitive parts masked, and the shared parts of
//! /dev.
//!
//! The mount targets are in the app's root. None is created there, because the volumes are already mounted.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use pod::layout;
use rustix::fs::{CWD, FileType, Mode, OFlags, StatVfsMountFlags, fstat, fstatvfs, openat};
use rustix::io::Errno;
use sys::InRoot;
use sys::mounts::{Depth, MountAttrFlags, Submounts, attach, clone_tree, create, set_attributes};

use crate::exchange::view::{COPIED, Copied, MASKED, READ_ONLY};

/// Mounts into each app's root.
pub(super) fn complete_roots() -> Result<()> {
    for app in fs::read_dir(format!("/{}", layout::APPS)).context("cannot list the apps")? {
        let root = app?.path();
        mount_into(&root).with_context(|| format!("cannot mount into {}", root.display()))?;
    }
    Ok(())
}

/// Masks what is sensitive in the pod's /proc and /sys.
pub(super) fn hide() -> Result<()> {
    let empty = || create("tmpfs", &[("mode", "0555"), ("size", "4k")], MountAttrFlags::MOUNT_ATTR_RDONLY);
    for path in MASKED {
        let Some(place) = open(path)? else { continue };
        let is_directory = FileType::from_raw_mode(fstat(&place)?.st_mode) == FileType::Directory;
        let mask = if is_directory { empty()? } else { clone_tree("/dev/null", Submounts::No)? };
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
