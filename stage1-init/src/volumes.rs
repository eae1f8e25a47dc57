// SPDX-License-Identifier: Apache-2.0
//! Volumes: parts of the host's tree, and directories of the pod's own, on their way into an app's root.
//!
//! A volume is opened by the host's name while that is still visible, and travels as a descriptor. Its target is
//! resolved in the app's root, where it is made if it is missing; so no path, whatever characters it has, is ever an
//! argument, and no link leads out.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat};
use nix::unistd::{Gid, Uid, fchown};
use pod::manifest::Ownership;
use pod::name::VolumeName;
use pod::path::{AbsolutePath, RelativePath};
use pod::{Mount, Source, layout};
use rustix::mount::MountAttrFlags;

use crate::filesystem::{Submounts, attach, clone_tree, clone_tree_at};
use crate::in_root::InRoot;
use crate::sys::{Depth, set_attributes};

/// A volume that is mounted nowhere yet.
#[derive(Debug)]
pub(crate) struct Volume {
    tree: OwnedFd,
    target: AbsolutePath,
}

/// Opens an app's volumes, from the pod directory.
pub(crate) fn open(mounts: &[Mount]) -> Result<Vec<Volume>> {
    let one = |mount: &Mount| open_one(mount).with_context(|| format!("volume at {}", mount.target));
    mounts.iter().map(one).collect()
}

fn open_one(mount: &Mount) -> Result<Volume> {
    let (tree, depth) = match &mount.source {
        Source::Host { path, recursive } => {
            let submounts = if *recursive { Submounts::Yes } else { Submounts::No };
            let tree = clone_tree(path.as_str(), submounts).with_context(|| format!("source {path}"))?;
            (tree, Depth::All)
        }
        Source::Empty { volume, ownership } => {
            let directory = own_directory(volume, *ownership)
                .with_context(|| format!("volume {volume} of kind empty"))?;
            (clone_tree_at(directory, Submounts::No)?, Depth::One)
        }
    };
    let mut attributes = MountAttrFlags::empty();
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, mount.read_only);
    // A volume that is a device is meant as one.
    attributes.set(MountAttrFlags::MOUNT_ATTR_NODEV, is_directory(&tree)?);
    set_attributes(&tree, attributes, depth).context("cannot restrict it")?;
    Ok(Volume { tree, target: mount.target.clone() })
}

/// The directory of a volume of kind empty. An earlier start of the pod may have made it; what apps put there stays.
fn own_directory(volume: &VolumeName, ownership: Ownership) -> Result<OwnedFd> {
    let stage1 = InRoot::open_at(File::open(".")?, layout::STAGE1)?;
    let path = RelativePath::from_bytes(layout::volume(volume).as_bytes())?;
    let is_new = stage1.open(&path, OFlag::O_PATH, Mode::empty()).is_err();
    let named = stage1.make_dir(&path)?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = openat(&named, ".", flags, Mode::empty())?;
    if is_new {
        let Ownership { mode, uid, gid } = ownership;
        fchown(&directory, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        fchmod(&directory, Mode::from_bits_truncate(mode))?;
    }
    Ok(directory)
}

/// Mounts a volume in the app's root.
pub(crate) fn place(volume: &Volume, root: &InRoot) -> Result<()> {
    let Volume { tree, target } = volume;
    let path = target.below_root();
    let place = || -> Result<()> {
        let is_directory_volume = is_directory(tree)?;
        let there = if is_directory_volume { root.make_dir(&path) } else { root.make_file(&path) }?;
        ensure!(
            is_directory_volume == is_directory(&there)?,
            "the volume and its target must both be directories, or neither"
        );
        Ok(attach(tree.as_fd(), there)?)
    };
    place().with_context(|| format!("volume at {target}"))
}

fn is_directory(file: &OwnedFd) -> Result<bool> {
    Ok(SFlag::from_bits_truncate(fstat(file)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR)
}
