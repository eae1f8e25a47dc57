// SPDX-License-Identifier: Apache-2.0
//! The program that starts a pod of overlays: stage1's `init`, linked into the pod's upper layer as well.
//!
//! It needs this second name because it is executed before the overlay is there.
//!
//! A repair gives stage1's tree another `init`. The names in the pods still lead to the damaged one, which root
//! executes, so they are checked, too. Meanwhile a pod may be running, and may be removed, also by rm(1), which holds no
//! lock: a pod without `init` is taken for one that is being removed, and gets none.

use std::os::fd::OwnedFd;

use pod::id::PodId;
use pod::layout;
use pod::path::RelativePath;
use rustix::fs::{AtFlags, OFlags, RenameFlags, fsync, linkat, renameat_with, statat};
use rustix::io::Errno;

use crate::copy;
use crate::data_dir::DataDir;
use crate::error::{About as _, Result};
use crate::record;
use crate::staging::Staging;
use crate::tree::Tree;
use sys::{Interrupt, open_beneath};

/// Links the `init` of the tree `lower` into the directory `upper`, or copies it where no link can be made.
pub fn link(lower: &OwnedFd, upper: &OwnedFd, interrupt: &Interrupt) -> Result<()> {
    match linkat(lower, layout::INIT, upper, layout::INIT, AtFlags::empty()) {
        Err(Errno::MLINK | Errno::XDEV | Errno::PERM) => {
            Ok(copy::file(lower, upper, layout::INIT, interrupt)?)
        }
        done => done.about(|| format!("cannot link {}", layout::INIT)),
    }
}

/// Tells whether the `init` of a pod of overlays differs in content from its stage1's.
pub fn differs(data_dir: &DataDir, stage1: &Tree, pod: PodId, interrupt: &Interrupt) -> Result<bool> {
    let Some(upper) = open_upper(data_dir, pod)? else { return Ok(false) };
    let own = open_beneath(&data_dir.containers, format!("{pod}/{}", layout::OWN_INIT), OFlags::PATH);
    if own.is_ok() {
        return Ok(false);
    }
    let init = RelativePath::from_bytes(layout::INIT.as_bytes())?;
    let is_same = record::is_same_file(&stage1.root()?, &upper, &init, interrupt)?;
    // It is looked for last, since its removal meanwhile is no difference.
    Ok(!is_same && has_init(&upper)?)
}

/// Replaces the `init` of a pod of overlays with that of its stage1, in one step.
pub fn renew(data_dir: &DataDir, stage1: &Tree, pod: PodId, interrupt: &Interrupt) -> Result<()> {
    let Some(upper) = open_upper(data_dir, pod)? else { return Ok(()) };
    let staging = Staging::create(data_dir)?;
    let place = || -> Result<()> {
        let new = staging.make_directory(layout::STAGE1)?;
        link(&stage1.root()?, &new, interrupt)?;
        // An exchange puts nothing where nothing is: whatever removes the pod would not find it any more.
        match renameat_with(&new, layout::INIT, &upper, layout::INIT, RenameFlags::EXCHANGE) {
            // The pod is being removed.
            Err(Errno::NOENT) => Ok(()),
            done => done.about(|| "cannot rename it to its place"),
        }?;
        fsync(&upper).about(|| "cannot sync the directory above")
    };
    place()?;
    staging.remove()
}

fn has_init(upper: &OwnedFd) -> Result<bool> {
    match statat(upper, layout::INIT, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(false),
        found => found.map(|_| true).about(|| format!("cannot look at {}", layout::INIT)),
    }
}

/// Opens the upper layer of a pod, if it is there.
fn open_upper(data_dir: &DataDir, pod: PodId) -> Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    match open_beneath(&data_dir.containers, format!("{pod}/{}", layout::STAGE1), flags) {
        Err(error) if error.errno == Errno::NOENT => Ok(None),
        opened => opened.map(Some).about(|| "cannot open its stage1"),
    }
}
