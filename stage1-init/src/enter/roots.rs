// SPDX-License-Identifier: Apache-2.0
//! An app's root: its image's tree, and what an executor adds to it.
//!
//! The tree is the app's own, or an overlay on one that other apps use too. So no app sees what another one changes.
//! Then these are added, in order: the places for the pod's /proc and /sys; /dev; /tmp; /run; the host's time zone; hosts
//! and resolv.conf where the image has none; and the volumes. Invariant: everything is resolved in the app's root,
//! which the app may have left in any state, and nothing is written through a volume.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use pod::isolators::Capacity;
use pod::manifest::Ownership;
use pod::path::RelativePath;
use rustix::fs::{FileType, Mode, OFlags, fchmod};
use rustix::io::Errno;
use sys::InRoot;
use sys::mounts::{Depth, MountAttrFlags, Submounts, attach, clone_tree_at, set_attributes};

use crate::apply::clear::readable;
use crate::apply::zone;
use crate::enter::devices;
use crate::enter::overlay::{self, Upper};
use crate::enter::users::{Shelf, Users};
use crate::enter::volumes::{self, Volume};
use crate::exchange::fresh;
use crate::exchange::view::{DEV, OWN_RUN, PLACES, TMP};
use crate::failure::warn;
use crate::load::store::Store;
use crate::load::trees::{self, Tree, says_nothing};
use crate::load::zone::Zone;
use crate::names::POD;
use crate::plan::{Fresh, Root, Supplied};

/// The content of files that exist only to be mounted on, so that the next start can tell them from the image's.
const PLACEHOLDER: &[u8] = b"# Gantry mounts a file here while the pod runs.\n";
/// The most bytes that are read of a file to see whether it says anything.
const NAMES_MAX: u64 = 4 << 10;
const TMP_MODE: u32 = 0o1777;

/// Returns the app's name, for messages.
pub(crate) fn name(root: &Root) -> &str {
    root.at.rsplit('/').next().unwrap_or_default()
}

/// Takes an app's tree from the pod directory and the store, mounted nowhere yet.
pub(crate) fn open(
    tree: &Tree,
    stage1: &InRoot,
    store: &Store,
    users: &Users,
    shelf: &Shelf,
) -> Result<OwnedFd> {
    let lower = trees::open(tree, stage1, store)?;
    let tree = match tree {
        Tree::Own(_) => {
            let tree = clone_tree_at(&lower, Submounts::No).context("cannot take its tree")?;
            users.own(&tree, Depth::One)?;
            tree
        }
        Tree::Shared { upper: path, .. } => {
            let upper = Upper::of_app(stage1, path, &lower)
                .with_context(|| format!("cannot make stage1's {path}"))?;
            overlay::mount(&lower, &upper, users, shelf)?
        }
    };
    set_attributes(&tree, MountAttrFlags::MOUNT_ATTR_NODEV, Depth::One).context("cannot restrict it")?;
    Ok(tree)
}

/// The parts of an app's root: mounts that aren't attached anywhere yet.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) tree: OwnedFd,
    pub(crate) supplies: Vec<OwnedFd>,
    pub(crate) volumes: Vec<Volume>,
}

/// Takes the files that an app is supplied with from the pod directory, mounted nowhere yet.
///
/// They are not taken from stage1's overlay: what is written to them while the pod runs (`pods::aliases`) would change
/// below it, and overlayfs promises nothing then.
pub(crate) fn supplies(root: &Root, stage1: &InRoot, users: &Users) -> Result<Vec<OwnedFd>> {
    let one = |file: &Supplied| {
        let source = stage1.open_as(&path(&file.source)?, OFlags::PATH, Mode::empty())?;
        let file = clone_tree_at(source, Submounts::No)?;
        users.own(&file, Depth::One)?;
        set_attributes(&file, MountAttrFlags::MOUNT_ATTR_RDONLY, Depth::One)?;
        Ok::<_, anyhow::Error>(file)
    };
    root.supplied.iter().map(|file| one(file).context(file.at)).collect()
}

/// Mounts an app's tree, the files that it is supplied with and its volumes as the app's root; the pod is at [`POD`].
///
/// This process must act as root of the app's users ([`Users::act`]).
pub(crate) fn mount(
    root: &Root,
    Parts { tree, supplies, volumes }: &Parts,
    zone: Option<&Zone>,
    users: &Users,
) -> Result<()> {
    let at = format!("{POD}/{}", root.at);
    let place = File::open(&at).with_context(|| format!("cannot open {at}"))?;
    attach(tree, place).context("cannot mount it")?;

    let app = InRoot::below(tree, ".")?;
    for at in PLACES {
        let place = directory(&app, &path(at)?)?;
        // Launchers mount there, and follow no link.
        InRoot::below(tree, at.trim_start_matches('/')).with_context(|| format!("cannot open {at}"))?;
        if at == DEV {
            devices::mount(&place, users, volumes, root.notifies).context(at)?;
        }
    }
    tmp(&app, root.tmp, users).context("/tmp")?;
    root.fresh.iter().try_for_each(|one| fresh(&app, one, users).context(one.at))?;
    if let Err(error) = zone::put(&app, zone) {
        warn(&format!("app {} has not the host's time zone: /etc/localtime: {error:#}", name(root)));
    }
    let mut both = root.supplied.iter().zip(supplies);
    both.try_for_each(|(file, source)| supply(&app, file, source).context(file.at))?;
    volumes::place(volumes, &app)?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, root.read_only);
    Ok(set_attributes(tree, attributes, Depth::One)?)
}

/// Provides a /tmp for all users: the image's, one made in its place, or a tmpfs.
fn tmp(app: &InRoot, capacity: Option<Capacity>, users: &Users) -> Result<()> {
    let path = path(TMP)?;
    // Whatever else is wrong with it shows when it is opened as a directory.
    let is_missing = matches!(app.find(&path), Ok(None));
    let directory = directory(app, &path)?;
    if let Some(capacity) = capacity {
        let ownership = Ownership { mode: TMP_MODE, uid: 0, gid: 0 };
        attach(volumes::in_memory(capacity, ownership, users.root())?, directory)?;
    } else if is_missing {
        fchmod(readable(&directory)?, Mode::from_raw_mode(TMP_MODE))?;
    }
    Ok(())
}

/// Mounts a directory that begins anew with each run. What the tree has there is copied into it.
fn fresh(app: &InRoot, Fresh { at, capacity, place }: &Fresh, users: &Users) -> Result<()> {
    let own = path(at)?;
    if *at == OWN_RUN {
        let is_own =
            app.open_itself(own.as_path()).is_ok_and(|found| volumes::is_directory(found).unwrap_or(false));
        if !is_own {
            return Ok(());
        }
    }
    // A link may lead to a directory that is missing.
    let real = app.resolve(&at.parse()?)?.path;
    let directory = directory(app, &RelativePath::from_bytes(&real)?)?;
    let from = readable(&directory)?;
    let file_system = volumes::in_memory(*capacity, Ownership::default(), users.root())?;
    let copied = || match place {
        None => fresh::fill(&from, &readable(&file_system)?).map(|()| None),
        Some(place) => {
            let now = fresh::make(&file_system, &from)?;
            // Only a mount that is mounted can be copied by older kernels.
            attach(&file_system, File::open(format!("{POD}/{place}"))?)?;
            Ok(Some(clone_tree_at(now, Submounts::No)?))
        }
    };
    let now = copied().with_context(|| {
        format!("expected {} bytes at most in the app's tree, or a volume there", capacity.bytes())
    })?;
    Ok(attach(now.as_ref().unwrap_or(&file_system), directory)?)
}

/// Mounts a file of the pod's if the image has none, or if it has the image's lines: what the image says is never lost
/// (appc spec, `OS-SPEC`).
fn supply(app: &InRoot, file: &Supplied, source: &OwnedFd) -> Result<()> {
    let path = path(file.at)?;
    // An earlier run may have left anything there.
    let is_file = || app.stat(file.at).is_ok_and(|there| FileType::from_raw_mode(there.st_mode).is_file());
    if is_free(app, &path)? || file.completes && is_file() {
        attach(source, app.open_as(&path, OFlags::PATH, Mode::empty())?)?;
    }
    Ok(())
}

/// Tells whether there is a placeholder at `path`, or a file that says nothing. If there is nothing, a placeholder is made,
/// also where a link leads to nothing, as the resolv.conf of a distribution that runs a resolver of its own.
fn is_free(app: &InRoot, path: &RelativePath) -> Result<bool> {
    match app.read_file(path.as_path(), NAMES_MAX) {
        Ok(content) => return Ok(content == PLACEHOLDER || says_nothing(&content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => return Ok(false),
    }
    if let Some((parent, _)) = path.split_last() {
        directory(app, &parent)?;
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW;
    match app.open_as(path, flags, Mode::from_raw_mode(0o644)) {
        Ok(file) => {
            File::from(file).write_all(PLACEHOLDER)?;
            Ok(true)
        }
        // Where the link can't lead to a file, it stays what it is.
        Err(error) if error.errno == Errno::EXIST => Ok(make_behind(app, path).is_ok()),
        Err(error) => Err(error.into()),
    }
}

/// Makes a placeholder at the place that a link at `path` leads to, where nothing is so far.
fn make_behind(app: &InRoot, path: &RelativePath) -> Result<()> {
    let place = app.resolve(&format!("/{}", path.as_path().display()).parse()?)?.path;
    app.make_file(&RelativePath::from_bytes(place.strip_prefix(b"/").unwrap_or(&place))?)?;
    let made = app.open_as(path, OFlags::WRONLY, Mode::empty())?;
    Ok(File::from(made).write_all(PLACEHOLDER)?)
}

/// Opens a directory of the app's, making it if it is missing. `prepare` has checked that this is possible.
fn directory(app: &InRoot, path: &RelativePath) -> Result<OwnedFd> {
    app.make_dir(path).with_context(|| {
        let path = path.as_path().display();
        format!("/{path}: expected a directory, or nothing, in the app's tree, which an earlier run may have changed")
    })
}

fn path(at: &str) -> Result<RelativePath> {
    Ok(RelativePath::from_bytes(at.trim_start_matches('/').as_bytes())?)
}
