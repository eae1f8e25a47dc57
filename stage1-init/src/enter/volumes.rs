// SPDX-License-Identifier: Apache-2.0
//! Volumes: parts of the host's tree, and directories of the pod's own, on disk or in memory, that are mounted in an app's
//! root.
//!
//! A volume is opened by its name on the host while that is still visible, without following a link unless it may, and is passed on
//! as a descriptor. Its target is resolved in the app's root, and made there if it is missing. So no path is ever an
//! argument, whatever characters it has, and no link leads out.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, bail, ensure};
use pod::isolators::Capacity;
use pod::manifest::{Links, Ownership};
use pod::path::{AbsolutePath, RelativePath};
use pod::text::escape;
use pod::{Mount, Source, check_targets, layout};
use rustix::fs::{FileType, Gid, Mode, OFlags, Uid, fchmod, fchown, fstat, mkdirat, openat, renameat};
use rustix::io::Errno;
use sys::mounts::{Depth, MountAttrFlags, Submounts, attach, clone_tree_at, create, set_attributes};
use sys::{CalledOn as _, InRoot, open_followed, open_mounted, proc_path};

use crate::apply::clear::readable;
use crate::enter::users::{Shelf, Users};

/// A volume that is mounted nowhere yet.
#[derive(Debug)]
pub(crate) struct Volume {
    tree: OwnedFd,
    target: AbsolutePath,
}

impl Volume {
    /// Returns the volume's place in /dev, if it has one there, and whether it is a directory.
    pub(crate) fn in_dev(&self) -> Result<Option<(RelativePath, bool)>> {
        let Some(below) = self.target.as_str().strip_prefix("/dev/") else { return Ok(None) };
        Ok(Some((RelativePath::from_bytes(below.as_bytes())?, is_directory(&self.tree)?)))
    }
}

/// Opens an app's volumes; the current directory must be the pod directory.
pub(crate) fn open(mounts: &[Mount], users: &Users, shelf: &Shelf) -> Result<Vec<Volume>> {
    let one =
        |mount: &Mount| open_one(mount, users, shelf).with_context(|| format!("volume at {}", mount.target));
    mounts.iter().map(one).collect()
}

fn open_one(mount: &Mount, users: &Users, shelf: &Shelf) -> Result<Volume> {
    let mut maker = None;
    let (tree, depth) = match &mount.source {
        Source::Host { path, recursive, links } => {
            let submounts = if *recursive { Submounts::Yes } else { Submounts::No };
            let source = open_source(path, *links).with_context(|| format!("source {path}"))?;
            let tree = clone_tree_at(source, submounts).with_context(|| format!("source {path}"))?;
            (tree, Depth::All)
        }
        Source::Empty { volume, app, ownership, capacity: Some(capacity), .. } => {
            let make = || in_memory(*capacity, *ownership, users.root());
            let tree = shelf.copy(&layout::volume(volume, app.as_ref()), make)?;
            maker = Some(fstat(&tree)?.st_uid.wrapping_sub(ownership.uid));
            (tree, Depth::One)
        }
        Source::Empty { volume, app, ownership, capacity: None, .. } => {
            let directory = own_directory(&layout::volume(volume, app.as_ref()), *ownership)
                .with_context(|| format!("volume {volume} of kind empty"))?;
            (clone_tree_at(directory, Submounts::No)?, Depth::One)
        }
    };
    let mut attributes = MountAttrFlags::empty();
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, mount.read_only);
    // If the volume itself is a device, it is meant to be used as one.
    attributes.set(MountAttrFlags::MOUNT_ATTR_NODEV, is_directory(&tree)?);
    set_attributes(&tree, attributes, depth).context("cannot restrict it")?;
    match maker {
        Some(first) => users.take_over(&tree, first).context(
            "apps share it in memory, which takes Linux 6.3 for users of their own: expected no size, or apps with the \
             pod's users (gantry/users: shared)",
        )?,
        // A device's owner stays the host's, since devtmpfs can't map ids: apps have what everybody may do with it.
        None if is_device(&tree)? => {}
        None => users.own(&tree, depth)?,
    }
    Ok(Volume { tree, target: mount.target.clone() })
}

/// Makes a file system in memory. `first` is the host's id of root among its users.
///
/// The app that is listed first with it is its owner: where only one has it, no ids need to be mapped, which kernels before 6.3 can't
/// do for a tmpfs.
pub(crate) fn in_memory(capacity: Capacity, ownership: Ownership, first: u32) -> Result<OwnedFd> {
    let Ownership { mode, uid, gid } = ownership;
    let options = [
        ("mode", format!("{mode:o}")),
        ("uid", first.wrapping_add(uid).to_string()),
        ("gid", first.wrapping_add(gid).to_string()),
        ("size", capacity.bytes().to_string()),
        ("nr_inodes", capacity.inodes().to_string()),
    ];
    let options = options.each_ref().map(|(key, value)| (*key, value.as_str()));
    Ok(create("tmpfs", &options, MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID)?)
}

/// Opens a volume's source. Links in its path are followed here, if they may be, and nowhere else: what is mounted is what
/// was opened.
///
/// The owner of a directory on the way to it may have replaced it, or a directory above it, by a link since the pod
/// was prepared.
fn open_source(path: &AbsolutePath, links: Links) -> Result<OwnedFd> {
    if links == Links::Followed {
        return Ok(open_followed(path.as_str())?);
    }
    match open_mounted(path.as_str()) {
        Err(error) if error.errno == Errno::LOOP => {
            let is_link = |path: &&str| open_mounted(path).is_err_and(|error| error.errno == Errno::LOOP);
            let link = path.prefixes().find(is_link).unwrap_or(path.as_str());
            bail!(
                "{} is a link: expected a path without links, or a volume with followLinks=true",
                escape(link)
            )
        }
        opened => Ok(opened?),
    }
}

/// Opens the directory of a volume of kind empty, making it if it is missing.
///
/// An earlier start of the pod may have made it. Then it keeps what apps have put there.
fn own_directory(path: &str, ownership: Ownership) -> Result<OwnedFd> {
    let stage1 = InRoot::below(File::open(".")?, layout::STAGE1)?;
    let path = RelativePath::from_bytes(path.as_bytes())?;
    if stage1.find(&path)?.is_none() {
        make_own(&stage1, &path, ownership)?;
    }
    Ok(readable(stage1.open_as(&path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?)?)
}

/// Makes the directory of a volume of kind empty.
///
/// It gets its final name only after its owner and mode, since the next start uses what it finds by that name. If a
/// start was killed in between, the directory with the temporary name is empty and is used.
fn make_own(stage1: &InRoot, path: &RelativePath, ownership: Ownership) -> Result<()> {
    let (parent, name) = path.split_last().context("the root is no volume")?;
    let parent = stage1.make_dir(&parent)?;
    match mkdirat(&parent, layout::NEW_VOLUME, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        made => made.called_on("mkdirat", layout::NEW_VOLUME)?,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let new = openat(&parent, layout::NEW_VOLUME, flags, Mode::empty());
    let new = new.called_on("openat", layout::NEW_VOLUME)?;
    let Ownership { mode, uid, gid } = ownership;
    fchown(&new, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    fchmod(&new, Mode::from_raw_mode(mode))?;
    Ok(renameat(&parent, layout::NEW_VOLUME, &parent, name)?)
}

/// Mounts volumes in an app's root.
///
/// All targets are found or made before the first volume is mounted, so that nothing is made in a volume. An earlier
/// run of the pod may have changed the tree, so targets are checked by where they lead now.
pub(crate) fn place(volumes: &[Volume], root: &InRoot) -> Result<()> {
    let of = |volume: &Volume| format!("volume at {}", volume.target);
    let targets = volumes.iter().map(|volume| target(volume, root).with_context(|| of(volume)));
    let targets = targets.collect::<Result<Vec<_>>>()?;
    let places = targets.iter().map(|target| real_path(target, root)).collect::<Result<Vec<_>>>()?;
    check_targets(&places).context("volumes, in the app's tree as it is now")?;
    let mut both = volumes.iter().zip(targets);
    both.try_for_each(|(volume, target)| attach(&volume.tree, target).with_context(|| of(volume)))
}

fn target(volume: &Volume, root: &InRoot) -> Result<OwnedFd> {
    let path = volume.target.below_root();
    let is_directory_volume = is_directory(&volume.tree)?;
    let there = match root.find(&path)? {
        Some(there) => there,
        None if is_directory_volume => root.make_dir(&path)?,
        None => root.make_file(&path)?,
    };
    let kind = |is_directory| if is_directory { "a directory" } else { "a file" };
    let is_directory_target = is_directory(&there)?;
    ensure!(
        is_directory_volume == is_directory_target,
        "the volume is {}, and {} is there: expected the same of both",
        kind(is_directory_volume),
        kind(is_directory_target)
    );
    Ok(there)
}

/// Returns the path of an open file in the app's root, as the kernel knows it (proc_pid_fd(5)).
///
/// The path is used to compare, never to open.
fn real_path(file: &OwnedFd, root: &InRoot) -> Result<AbsolutePath> {
    let path = std::fs::read_link(proc_path(file))?;
    let below = path
        .strip_prefix(std::fs::read_link(proc_path(root))?)
        .context("a target is not in the app's root")?;
    let path = format!("/{}", below.to_str().context("a target's name is not UTF-8")?);
    Ok(path.parse()?)
}

fn is_device(file: impl AsFd) -> Result<bool> {
    let kind = FileType::from_raw_mode(fstat(file)?.st_mode);
    Ok(matches!(kind, FileType::CharacterDevice | FileType::BlockDevice))
}

/// Tells whether an open file is a directory.
pub(crate) fn is_directory(file: impl AsFd) -> Result<bool> {
    Ok(FileType::from_raw_mode(fstat(file)?.st_mode) == FileType::Directory)
}
