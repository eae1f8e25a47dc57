// SPDX-License-Identifier: Apache-2.0
//! Fills the pod directory from trees of the store: with the upper layers of overlays, or with copies.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use pod::Pod;
use pod::id::ImageId;
use pod::layers::Layers;
use pod::layout;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, fchmod, fchown, fstat, fsync, openat, statat, unlinkat};
use rustix::io::Errno;

use crate::request::LayoutArgument;
use report::Hint as _;
use store::DataDir;
use store::copy::{self, Means};
use store::input::InputFile;
use store::overlay;
use store::staging::{self, Staging, Sync, open_below};
use store::{Tree, init};
use sys::Interrupt;

/// The mode of `/init`.
const INIT_MODE: u32 = 0o555;

/// The trees of a pod, in the store.
#[derive(Debug)]
pub(crate) struct Trees {
    pub(crate) stage1: Tree,
    /// The images' trees, by the ids that the pod calls them.
    pub(crate) images: BTreeMap<ImageId, Tree>,
    /// The trees that some of these were rendered of, locked until the pod refers to them.
    pub(crate) _parts: Vec<Tree>,
}

/// The trees as they were laid out.
#[derive(Debug)]
pub(crate) struct FinishedLayout {
    pub(crate) layers: Layers,
    /// How the pod directory has to be synced to disk.
    pub(crate) sync: Sync,
    /// The kind of layout, for people.
    pub(crate) shown: String,
}

/// Lays out the trees in a pod's staging directory.
///
/// # Errors
/// If overlays are required and can't be made; the system's errors.
pub(crate) fn lay_out(
    data_dir: &DataDir,
    staging: &Staging<'_>,
    trees: &Trees,
    pod: &Pod,
    wanted: LayoutArgument,
    interrupt: &Interrupt,
) -> Result<FinishedLayout> {
    let stage1 = staging.make_directory(layout::STAGE1)?;
    let own_users = !pod.has_hosts_users;
    if wanted == LayoutArgument::Copy {
        if own_users {
            overlay::map(&stage1).map_err(unmapped)?;
        }
        return copies(&stage1, trees, pod, interrupt);
    }
    let work = staging.make_directory(layout::WORK)?;
    let lower = trees.stage1.root()?;
    let is_known = overlay::is_known(data_dir, own_users)?;
    let possible = match own_users {
        _ if is_known => Ok(()),
        false => overlay::probe(&lower, &stage1, &work),
        true => overlay::probe_mapped(&lower, staging.directory(), layout::STAGE1, layout::WORK)
            .map_err(unmapped)?,
    };
    match possible {
        Ok(()) => {
            if !is_known {
                overlay::remember(data_dir, own_users)?;
            }
            overlays(staging, stage1, &lower, trees, interrupt).context("cannot make its upper layer")
        }
        // This doesn't tell whether overlays work: the system is in trouble, and copies would add to it.
        Err(error) if overlay::is_trouble(&error) => Err(error).context("cannot try an overlay"),
        Err(error) if wanted == LayoutArgument::Auto => {
            let laid = copies(&stage1, trees, pod, interrupt)?;
            let error = anyhow::Error::from(error);
            data_dir.listener.warn(&format!("no overlays here: {error:#}: {} instead", laid.shown));
            Ok(laid)
        }
        Err(error) => Err(error).context("no overlays here").hint("--layout copy works without overlays"),
    }
}

/// Names the way out for a pod that can't have users of its own there.
fn unmapped(error: overlay::Unmapped) -> anyhow::Error {
    let way_out = match &error {
        overlay::Unmapped::System(_) => return error.into(),
        overlay::Unmapped::FileSystem(_) => {
            "another --dir may be on one that can; with --userns=host, or the annotation gantry/users, the pod has the host's \
             users"
        }
        overlay::Unmapped::Namespace(_) => {
            "with --userns=host, or the annotation gantry/users, the pod has the host's users"
        }
    };
    let failed: Result<(), _> = Err(error).hint(way_out);
    failed.expect_err("it is an error")
}

/// Makes an upper layer that contains only `/init`, which is executed before the overlay exists.
fn overlays(
    staging: &Staging<'_>,
    upper: OwnedFd,
    lower: &OwnedFd,
    trees: &Trees,
    interrupt: &Interrupt,
) -> Result<FinishedLayout> {
    // The overlay's root has the mode and owner of the upper layer.
    let stat = fstat(lower)?;
    fchown(&upper, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    fchmod(&upper, Mode::from_raw_mode(stat.st_mode))?;
    init::link(lower, &upper, interrupt)?;
    staging.sync_with_it(layout::STAGE1, upper);
    let images = trees.images.iter().map(|(called, tree)| (*called, tree.id())).collect();
    let layers = Layers::Overlay { stage1: trees.stage1.id(), images };
    Ok(FinishedLayout { layers, sync: Sync::Files, shown: "overlays".into() })
}

/// Gives the pod this program in place of stage1's `/init`.
pub(crate) fn replace_init(staging: &Staging<'_>, mut init: InputFile) -> Result<()> {
    let stage1 = open_below(staging, layout::STAGE1)?;
    unlinkat(&stage1, layout::INIT, AtFlags::empty()).context("cannot remove stage1's")?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(&stage1, layout::INIT, flags, Mode::RUSR | Mode::WUSR)?);
    init.for_each(|chunk| file.write_all(chunk))?;
    fchmod(&file, Mode::from_raw_mode(INIT_MODE))?;
    fsync(&file)?;
    fsync(&stage1)?;
    Ok(staging.write_file(layout::OWN_INIT, b"")?)
}

/// Makes a copy of stage1, and a copy of its image for every app.
fn copies(stage1: &OwnedFd, trees: &Trees, pod: &Pod, interrupt: &Interrupt) -> Result<FinishedLayout> {
    let mut means = copy::copy(&trees.stage1.root()?, stage1, interrupt)?;
    let mut add = |from: &OwnedFd, to: &OwnedFd| -> Result<()> {
        if copy::copy(from, to, interrupt)? == Means::Bytes {
            means = Means::Bytes;
        }
        Ok(())
    };
    for (called, tree) in &trees.images {
        add(&tree.root()?, &make_all(stage1, &layout::image(called))?)
            .with_context(|| format!("cannot copy image {called}"))?;
    }
    let mut with_first = Vec::new();
    for app in &pod.apps {
        if !with_first.contains(&app.image) {
            with_first.push(app.image);
            continue;
        }
        let Some(tree) = trees.images.get(&app.image) else {
            bail!("image {} is not given", app.image);
        };
        let rootfs = open_below(tree.root()?, layout::IMAGE_ROOTFS)?;
        add(&rootfs, &make_all(stage1, &layout::own_root(&app.name))?)
            .with_context(|| format!("cannot copy the image of app {}", app.name))?;
    }
    let shown = match means {
        Means::Reflink => "copies by reflink",
        Means::Bytes => "copies",
    };
    Ok(FinishedLayout { layers: Layers::Copy, sync: Sync::FileSystem, shown: shown.into() })
}

/// Makes a directory and its missing parents.
pub(crate) fn make_all(root: &OwnedFd, path: &str) -> Result<OwnedFd> {
    let mut directory = open_below(root, ".")?;
    for name in path.split('/') {
        directory = match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => staging::make_directory(&directory, name)?,
            _ => open_below(&directory, name)?,
        };
    }
    Ok(directory)
}
