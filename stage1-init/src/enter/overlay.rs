// SPDX-License-Identifier: Apache-2.0
//! Overlays: a tree that stays as it is, and a directory that takes the changes to it (the kernel's
//! filesystems/overlayfs).
//!
//! The kernel gets layers by descriptor, so no character of their paths has a special meaning. Layers have to be
//! opened in the mount namespace in which the overlay is made. Invariant: no layer is itself reached through an
//! overlay of Gantry's, and what an earlier start left half done is removed before the next overlay is made.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, anyhow};
use pod::layout;
use pod::path::RelativePath;
use rustix::fs::{Gid, Mode, Uid, fchmod, fchown, fstat, mkdirat, renameat};
use rustix::io::Errno;
use sys::mounts::MountAttrFlags;
use sys::overlay::{Layers, Unmade, make_with};
use sys::{CalledOn as _, Error, InRoot, xattrs};

use crate::apply::clear::{clear, readable};
use crate::enter::users::{Shelf, Users};

/// The upper layer with the changes to a tree; overlayfs's working directory is beside it.
const CHANGES: &str = "changes";
/// The name of the upper layer until its root has the tree's metadata.
const NEW_CHANGES: &str = "changes.new";
/// The prefixes of the attributes that images can have on directories.
const ATTRIBUTES: [&[u8]; 2] = [b"system.posix_acl_", b"user."];

/// The directories that take the changes to a tree.
#[derive(Debug)]
pub(crate) struct Upper {
    /// The directory that both are in, since upper layer and working directory have to be of one mount.
    directory: InRoot,
    /// The name of the upper layer.
    changes: &'static str,
}

impl Upper {
    /// Opens an app's directories at `path` in stage1, making them if they are missing.
    pub(crate) fn of_app(stage1: &InRoot, path: &str, lower: &InRoot) -> Result<Self> {
        let directory = stage1.make_dir(&RelativePath::from_bytes(path.as_bytes())?)?;
        let directory = InRoot::below(directory, ".")?;
        match InRoot::below(&directory, CHANGES) {
            Err(error) if error.errno == Errno::NOENT => {
                make(&directory, NEW_CHANGES)?;
                copy_metadata(lower, InRoot::below(&directory, NEW_CHANGES)?)?;
                renameat(&directory, NEW_CHANGES, &directory, CHANGES)?;
            }
            opened => drop(opened.context(CHANGES)?),
        }
        empty_work(&directory)?;
        Ok(Self { directory, changes: CHANGES })
    }

    /// Opens the pod's directories for the changes to stage1.
    pub(crate) fn of_stage1(pod: impl AsFd, lower: &InRoot) -> Result<Self> {
        let changes = InRoot::below(&pod, layout::STAGE1).context("cannot open stage1")?;
        copy_metadata(lower, &changes)?;
        let directory = InRoot::below(&pod, ".").context("cannot open the pod directory")?;
        empty_work(&directory)?;
        Ok(Self { directory, changes: layout::STAGE1 })
    }
}

/// Makes a writable overlay on `lower` for these users, mounted nowhere yet.
pub(crate) fn mount(lower: &InRoot, upper: &Upper, users: &Users, shelf: &Shelf) -> Result<OwnedFd> {
    let (lower, both) = (users.layer(lower, shelf)?, users.layer(&upper.directory, shelf)?);
    let changes = InRoot::below(&both, upper.changes).context("cannot open the upper layer")?;
    let work = InRoot::below(&both, layout::WORK).context("cannot open the working directory")?;
    let layers = Layers { lower: &lower, upper: &changes, work: &work };
    let options = [
        // The tree's directories can be renamed, as in a copy of the tree.
        ("redirect_dir", "on"),
        // Set whatever the kernel's defaults are: changes are whole files, and belong to the tree's content, not its
        // inodes.
        ("metacopy", "off"),
        ("index", "off"),
    ];
    // The kernel makes files in the working directory as the user who mounts.
    let made = users.act(|| Ok(make_with(&layers, &options, MountAttrFlags::MOUNT_ATTR_NODEV)))?;
    let made = made.map_err(|unmade| match unmade {
        Unmade::ReadOnly => anyhow!("the file system of the pod directory can't hold its changes"),
        unmade => unmade.into(),
    });
    made.context("cannot make an overlay (a pod that is prepared with --layout copy needs none)")
}

/// Empties the working directory, making it if it is missing.
///
/// The kernel clears it too, but uses it as it is if something prevents that.
fn empty_work(directory: &InRoot) -> Result<()> {
    let empty = || -> Result<()> {
        make(directory, layout::WORK)?;
        let work = InRoot::below(directory, layout::WORK)?;
        clear(directory, &readable(&work)?)
    };
    empty().with_context(|| format!("cannot empty {}", layout::WORK))
}

fn make(directory: impl AsFd, name: &str) -> Result<(), Error> {
    match mkdirat(directory, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        made => made.called_on("mkdirat", name),
    }
}

/// Copies a tree's owner, mode and attributes to an upper layer: the root of an overlay shows those of its upper layer.
fn copy_metadata(from: impl AsFd, to: impl AsFd) -> Result<()> {
    let (from, to) = (readable(from)?, readable(to)?);
    let stat = fstat(&from)?;
    fchown(&to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    copy_attributes(&from, &to).context("cannot copy attributes")?;
    Ok(fchmod(&to, Mode::from_raw_mode(stat.st_mode))?)
}

fn copy_attributes(from: &OwnedFd, to: &OwnedFd) -> rustix::io::Result<()> {
    for name in xattrs::list(from)? {
        if ATTRIBUTES.iter().any(|prefix| name.starts_with(prefix))
            && let Some(value) = xattrs::get(from, &name)?
        {
            xattrs::set(to, &name, &value)?;
        }
    }
    Ok(())
}
