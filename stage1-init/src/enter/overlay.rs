// SPDX-License-Identifier: Apache-2.0
//! Overlays: a tree that stays as it is, and a directory that takes the changes to it (the kernel's
//! filesystems/overlayfs).
//!
//! The kernel gets layers by descriptor, so no character of their paths has a special meaning. Layers have to be
//! opened in the mount namespace in which the overlay is made. Invariant: no layer is itself reached through an
//! overlay of Gantry's, and what an earlier start left half done is removed before the next overlay is made.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::renameat;
use nix::sys::stat::{Mode, fchmod, fstat, mkdirat};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{Gid, Uid, fchown};
use pod::layout;
use pod::path::RelativePath;
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
use rustix::mount::MountAttrFlags;

use crate::apply::clear::{clear, readable};
use crate::filesystem::create;
use crate::in_root::InRoot;

/// The upper layer with the changes to a tree; overlayfs's working directory is beside it.
const CHANGES: &str = "changes";
/// The name of the upper layer until its root has the tree's metadata.
const NEW_CHANGES: &str = "changes.new";
/// The maximum length of an attribute's value, and of the list of attribute names (xattr(7)).
const XATTR_MAX: usize = 64 << 10;
/// The prefixes of the attributes that images can have on directories.
const ATTRIBUTES: [&[u8]; 2] = [b"system.posix_acl_", b"user."];

/// The directories that take the changes to a tree.
#[derive(Debug)]
pub(crate) struct Upper {
    changes: InRoot,
    work: InRoot,
}

impl Upper {
    /// Opens an app's directories at `path` in stage1, making them if they are missing.
    pub(crate) fn of_app(stage1: &InRoot, path: &str, lower: &InRoot) -> Result<Self> {
        let directory = stage1.make_dir(&RelativePath::from_bytes(path.as_bytes())?)?;
        let changes = match InRoot::open_at(&directory, CHANGES) {
            Err(Errno::ENOENT) => {
                make(&directory, NEW_CHANGES)?;
                copy_metadata(lower, InRoot::open_at(&directory, NEW_CHANGES)?)?;
                renameat(&directory, NEW_CHANGES, &directory, CHANGES)?;
                InRoot::open_at(&directory, CHANGES)
            }
            opened => opened,
        };
        Ok(Self { changes: changes.context(CHANGES)?, work: work(&directory)? })
    }

    /// Opens the pod's directories for the changes to stage1.
    pub(crate) fn of_stage1(pod: impl AsFd, lower: &InRoot) -> Result<Self> {
        let changes = InRoot::open_at(&pod, layout::STAGE1).context("cannot open stage1")?;
        copy_metadata(lower, &changes)?;
        Ok(Self { changes, work: work(pod)? })
    }
}

/// Makes a writable overlay on `lower`, mounted nowhere yet.
pub(crate) fn mount(lower: &InRoot, upper: &Upper) -> Result<OwnedFd> {
    let path = |layer: &InRoot| format!("/proc/self/fd/{}", layer.as_fd().as_raw_fd());
    let layers = [path(lower), path(&upper.changes), path(&upper.work)];
    let options = [
        ("lowerdir", layers[0].as_str()),
        ("upperdir", &layers[1]),
        ("workdir", &layers[2]),
        // The tree's directories can be renamed, as in a copy of the tree.
        ("redirect_dir", "on"),
        // Set whatever the kernel's defaults are: changes are whole files, and belong to the tree's content, not its
        // inodes.
        ("metacopy", "off"),
        ("index", "off"),
    ];
    let overlay = create("overlay", &options, MountAttrFlags::MOUNT_ATTR_NODEV)
        .map_err(anyhow::Error::from)
        .and_then(|overlay| {
            // overlayfs silently becomes read-only if it can't use the working directory.
            let is_read_only = fstatvfs(&overlay)?.flags().contains(FsFlags::ST_RDONLY);
            ensure!(!is_read_only, "the file system of the pod directory can't hold its changes");
            Ok(overlay)
        });
    overlay.context("cannot make an overlay (a pod that is prepared with --layout copy needs none)")
}

/// Opens the working directory, emptied.
///
/// The kernel clears it too, but uses it as it is if something prevents that.
fn work(directory: impl AsFd) -> Result<InRoot> {
    let empty = || -> Result<InRoot> {
        make(&directory, layout::WORK)?;
        let work = InRoot::open_at(&directory, layout::WORK)?;
        clear(&directory, &readable(&work)?)?;
        Ok(work)
    };
    empty().with_context(|| format!("cannot empty {}", layout::WORK))
}

fn make(directory: impl AsFd, name: &str) -> nix::Result<()> {
    match mkdirat(directory, name, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Copies a tree's owner, mode and attributes to an upper layer, whose root is what the overlay's root looks like.
fn copy_metadata(from: impl AsFd, to: impl AsFd) -> Result<()> {
    let (from, to) = (readable(from)?, readable(to)?);
    let stat = fstat(&from)?;
    fchown(&to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    copy_attributes(&from, &to).context("cannot copy attributes")?;
    Ok(fchmod(&to, Mode::from_bits_truncate(stat.st_mode))?)
}

fn copy_attributes(from: &OwnedFd, to: &OwnedFd) -> rustix::io::Result<()> {
    let mut names = vec![0; XATTR_MAX];
    let length = match flistxattr(from, &mut names) {
        // The file system has no attributes at all.
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        listed => listed?,
    };
    let mut value = vec![0; XATTR_MAX];
    for name in names[..length].split(|byte| *byte == 0) {
        if ATTRIBUTES.iter().any(|prefix| name.starts_with(prefix)) {
            let length = fgetxattr(from, name, &mut value)?;
            fsetxattr(to, name, &value[..length], XattrFlags::empty())?;
        }
    }
    Ok(())
}
