// SPDX-License-Identifier: Apache-2.0
//! Gives every app its /proc and /sys, which are the pod's with their sensitive parts masked, and the shared parts of
//! /dev. Makes the apps' user namespaces, and asks `/init` whether apps may start.
//!
//! This needs the pod's namespaces, so it can't be done earlier. The mount targets are in the app's root. None is
//! created there, because the volumes are already mounted.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use pod::layout;
use rustix::fs::{CWD, FileType, Mode, OFlags, StatVfsMountFlags, fstat, fstatvfs, openat};
use rustix::io::Errno;
use sys::InRoot;
use sys::mounts::{
    Depth, MountAttrFlags, Submounts, attach, clone_tree, clone_tree_at, create, make_all_private,
    set_attributes,
};
use sys::users::{self, Map, Owner};

use crate::exchange::outcome::PODS;
use crate::exchange::ready;
use crate::exchange::view::{COPIED, Copied, MASKED, READ_ONLY};
use crate::failure::{Step, report};
use crate::names::{NAMESPACES, USERS};

/// Makes all mounts. On failure, reports why and returns a failure.
pub(crate) fn run() -> ExitCode {
    // If this fails, systemd starts it again, because the message still waits on the socket. The first run has reported
    // why.
    if fs::exists(NAMESPACES).unwrap_or(false) {
        return ExitCode::FAILURE;
    }
    match prepare().and_then(|()| PODS.begin().context("cannot note that apps may start")) {
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

fn prepare() -> Result<()> {
    fs::create_dir_all(NAMESPACES)?;
    // systemd makes its mounts shared. What is mounted on a copy of a shared mount appears on the other copies, too.
    make_all_private().context("cannot make the pod's mounts private")?;
    hide().context("cannot mask what is sensitive")?;
    for app in fs::read_dir(format!("/{}", layout::APPS)).context("cannot list the apps")? {
        let root = app?.path();
        mount_into(&root).with_context(|| format!("cannot mount into {}", root.display()))?;
    }
    make_namespaces().context("cannot make the apps' user namespaces")?;
    ready::ask()
}

/// Makes a user namespace for each app with users of its own, and mounts it by the app's name, where launchers find it.
fn make_namespaces() -> Result<()> {
    let list = fs::read_to_string(format!("/{USERS}")).context("cannot list the apps' users")?;
    for line in list.lines() {
        let mut words = line.split(' ');
        let app = words.next().context("expected an app")?;
        let mut number = || -> Result<u32> {
            words
                .next()
                .and_then(|word| word.parse().ok())
                .with_context(|| format!("app {app}: expected a number"))
        };
        let (outside, count, tasks) = (number()?, number()?, number()?);
        // The owner has every capability in the namespace. Nothing of the pod's runs as the app's own root but the app.
        let owner = Owner { user: outside, tasks: tasks.into() };
        let namespace = users::make(Map { inside: 0, outside, count }, Some(owner));
        let place = File::create(Path::new(NAMESPACES).join(app))?;
        attach(clone_tree_at(namespace?, Submounts::No)?, place).with_context(|| format!("app {app}"))?;
    }
    Ok(())
}

fn hide() -> Result<()> {
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
