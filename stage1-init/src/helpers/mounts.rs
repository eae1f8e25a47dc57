// SPDX-License-Identifier: Apache-2.0
//! Mounts that an app gets from the pod: /proc and /sys, whose sensitive parts are masked, and the shared parts of
//! /dev.
//!
//! The boot program masks the pod's own, once. Each launcher mounts copies in the app's root, in the mount namespace of
//! the program that it becomes. No mount is made in the pod's own namespace: systemd would look at each, and every
//! launcher would copy those of all apps. No mount point is made in an app's root, because the volumes are already
//! mounted.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::fs::{CWD, FileType, Mode, OFlags, StatVfsMountFlags, fstat, fstatvfs, openat};
use rustix::io::Errno;
use sys::mounts::{Depth, MountAttrFlags, Submounts, attach, clone_tree, create, set_attributes};
use sys::open_beneath;

use crate::exchange::view::{COPIED, Copied, MASKED, NOTIFY, NOTIFY_OF_POD, READ_ONLY};

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

/// Copies of the pod's mounts for an app, not attached anywhere yet.
#[derive(Debug)]
pub(super) struct Copies(Vec<(&'static str, OwnedFd)>);

impl Copies {
    /// Takes the copies, in the pod's root. An app that says when it is up has the socket of the pod's systemd.
    pub(super) fn take(notifies: bool) -> Result<Self> {
        let take = |&Copied { at, source, read_only }: &Copied| {
            let tree = clone_tree(source, Submounts::Yes)?;
            let mut attributes = MountAttrFlags::empty();
            attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, read_only);
            // The copy is private: what an app does to it is not seen outside the app.
            set_attributes(&tree, attributes, Depth::All)?;
            anyhow::Ok((at, tree))
        };
        let socket = notifies.then_some(Copied { at: NOTIFY, source: NOTIFY_OF_POD, read_only: false });
        COPIED
            .iter()
            .chain(&socket)
            .map(|one| take(one).with_context(|| format!("cannot copy {}", one.source)))
            .collect::<Result<_>>()
            .map(Self)
    }

    /// Mounts them in an app's root.
    pub(super) fn attach(&self, root: &OwnedFd) -> Result<()> {
        self.0.iter().try_for_each(|(at, tree)| {
            let place = open_beneath(root, at.trim_start_matches('/'), OFlags::PATH);
            attach(tree, place.with_context(|| format!("cannot open {at}"))?)
                .with_context(|| format!("cannot mount {at}"))
        })
    }
}
