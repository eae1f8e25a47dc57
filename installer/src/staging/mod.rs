// SPDX-License-Identifier: Apache-2.0
//! A pod directory while it is built, and the moment it becomes one.
//!
//! `staging/ID` is locked by its builder, and renamed to `containers/ID` once it is on disk. Invariants: what is in
//! `containers/` is complete; what is in `staging/` and not locked is dead, and the next run sweeps it. So a run may
//! be killed at any moment. [`Staging::publish`] takes only verified trees.

mod home;
mod remove;
mod sweep;

use std::ffi::CString;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use pod::digest::Digest;
use pod::id::PodId;
use pod::layout;
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Uid, fchmod, fchown, fremovexattr, fsync, mkdirat,
    openat, openat2, renameat_with, statat, syncfs,
};
use rustix::io::Errno;

use crate::extract::Verified;
use crate::image::ImagePolicy;
use crate::stage1::Stage1Policy;
use crate::worker::Place;

pub(crate) use home::Home;

/// How often an id is drawn that somebody has, or a staging directory made that a sweep takes for dead.
const ATTEMPTS: usize = 64;
/// Where an image is until stage1 is there, with a number, in the pod directory.
const INCOMING: &str = "incoming";
const DIRECTORY_MODE: Mode =
    Mode::RWXU.union(Mode::RGRP).union(Mode::XGRP).union(Mode::ROTH).union(Mode::XOTH);

/// An image's tree that is not yet in its place.
#[derive(Debug)]
pub(crate) struct UnpackedImage {
    directory: String,
    tree: Verified<ImagePolicy>,
    id: Digest,
}

/// A pod directory being built, locked.
#[derive(Debug)]
pub(crate) struct Staging<'h> {
    home: &'h Home,
    id: PodId,
    name: CString,
    directory: OwnedFd,
    lock: OwnedFd,
}

impl<'h> Staging<'h> {
    /// Sweeps what dead runs left, and begins a pod directory.
    pub(crate) fn create(home: &'h Home) -> Result<Self> {
        sweep::sweep(&home.staging)?;
        for _ in 0..ATTEMPTS {
            let mut random = [0; 16];
            getrandom::fill(&mut random).context("cannot get random bytes")?;
            if let Some(staging) = Self::try_create(home, PodId::from_random(random))? {
                return Ok(staging);
            }
        }
        bail!("cannot create a staging directory: {ATTEMPTS} names were taken")
    }

    fn try_create(home: &'h Home, id: PodId) -> Result<Option<Self>> {
        let name = CString::new(id.to_string())?;
        match statat(&home.containers, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            other => return other.map(|_| None).context("cannot look into containers"),
        }
        match mkdirat(&home.staging, &name, Mode::RWXU) {
            Err(Errno::EXIST) => return Ok(None),
            done => done.context("cannot create a staging directory")?,
        }
        // A sweep may come in here and take it for dead.
        let locked = sweep::lock(&home.staging, &name).context("cannot lock the staging directory")?;
        let Some(sweep::Locked { directory, lock }) = locked else { return Ok(None) };
        let staging = Self { home, id, name, directory, lock };
        if let Err(error) = staging.forget_inherited() {
            staging.discard();
            return Err(error);
        }
        Ok(Some(staging))
    }

    /// What a set-group-id bit or a default ACL of DIR's gave to the new directory must not go on into trees.
    fn forget_inherited(&self) -> Result<()> {
        for name in ["system.posix_acl_default", "system.posix_acl_access"] {
            match fremovexattr(&self.directory, name) {
                Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
                done => done.context("cannot remove the staging directory's ACL")?,
            }
        }
        fchown(&self.directory, Some(Uid::ROOT), Some(Gid::ROOT))
            .context("cannot set the staging directory's owner")?;
        fchmod(&self.directory, Mode::RWXU).context("cannot set the staging directory's mode")
    }

    /// The pod's id.
    pub(crate) fn id(&self) -> PodId {
        self.id
    }

    /// Unpacks stage1, as `unpack` does it.
    pub(crate) fn add_stage1(
        &self,
        unpack: impl FnOnce(Place<'_>) -> Result<Verified<Stage1Policy>>,
    ) -> Result<Verified<Stage1Policy>> {
        let root = make_directory(&self.directory, layout::STAGE1)?;
        unpack(self.place(&root)?)
    }

    /// Unpacks an image, as `unpack` does it; `number` tells it from the others of this pod. Its id is the sha512 if
    /// that is among those `named`, else the sha256.
    pub(crate) fn unpack_image(
        &self,
        named: &[Digest],
        number: usize,
        unpack: impl FnOnce(Place<'_>) -> Result<Verified<ImagePolicy>>,
    ) -> Result<UnpackedImage> {
        let directory = format!("{INCOMING}-{number}");
        let root = make_directory(&self.directory, &directory)?;
        let tree = unpack(self.place(&root)?)?;
        let digests = tree.digests();
        let id = match digests.sha512.filter(|sha512| named.contains(sha512)) {
            Some(sha512) if named.contains(&digests.sha256) => {
                bail!("the pod manifest calls it {} and {sha512}: expected one of them", digests.sha256)
            }
            Some(sha512) => sha512,
            None => digests.sha256,
        };
        Ok(UnpackedImage { directory, tree, id })
    }

    fn place<'a>(&'a self, root: &'a OwnedFd) -> Result<Place<'a>> {
        // Nobody reads it yet.
        let record = File::options().write(true).open("/dev/null").context("cannot open /dev/null")?;
        Ok(Place { root, record, lock: self.lock.as_fd() })
    }

    /// Puts an image where its id says, once stage1 is there.
    pub(crate) fn place_image(&self, image: UnpackedImage) -> Result<(Verified<ImagePolicy>, Digest)> {
        let UnpackedImage { directory, tree, id } = image;
        let images = self.images_directory().context("cannot create the images' directory in stage1")?;
        match renameat_with(&self.directory, directory, images, id.to_string(), RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => bail!("image {id} is there already: expected each image once"),
            done => done.with_context(|| format!("cannot rename the image to {id}"))?,
        }
        Ok((tree, id))
    }

    fn images_directory(&self) -> Result<OwnedFd> {
        let mut directory = open_below(&self.directory, layout::STAGE1)?;
        for name in layout::IMAGES.split('/') {
            directory = match make_directory(&directory, name) {
                Err(error) if error.downcast_ref() == Some(&Errno::EXIST) => open_below(&directory, name)?,
                made => made?,
            };
        }
        Ok(directory)
    }

    /// Makes the pod directory appear, with all of it on disk, and returns its path.
    ///
    /// # Errors
    /// Where that fails; nothing has appeared then.
    pub(crate) fn publish(
        &self,
        _stage1: &Verified<Stage1Policy>,
        _images: &[Verified<ImagePolicy>],
        manifest: &[u8],
    ) -> Result<PathBuf> {
        self.write_manifest(manifest).context("cannot write the pod's manifest")?;
        syncfs(&self.directory).context("cannot sync the pod directory")?;
        let Home { staging, containers, .. } = self.home;
        renameat_with(staging, &self.name, containers, &self.name, RenameFlags::NOREPLACE)
            .context("cannot rename the pod directory into containers")?;
        if let Err(error) = fsync(containers) {
            self.withdraw();
            return Err(error).context("cannot sync containers");
        }
        Ok(self.home.path().join(layout::CONTAINERS).join(self.id.to_string()))
    }

    fn write_manifest(&self, manifest: &[u8]) -> Result<()> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut file = File::from(openat(&self.directory, layout::MANIFEST, flags, mode)?);
        fchmod(&file, mode | Mode::RGRP | Mode::ROTH)?;
        Ok(file.write_all(manifest)?)
    }

    /// Takes a published pod directory back. A part of one must never be seen, so it is renamed before it is removed.
    pub(crate) fn withdraw(&self) {
        let Home { staging, containers, .. } = self.home;
        if let Err(error) = renameat_with(containers, &self.name, staging, &self.name, RenameFlags::NOREPLACE)
        {
            eprintln!("warning: cannot take back pod {}: {error}", self.id);
        }
    }

    /// Removes it. What can't be removed is left to the next run's sweep.
    pub(crate) fn discard(self) {
        if let Err(error) = remove::remove_tree(&self.home.staging, &self.name) {
            eprintln!("warning: cannot remove staging/{}: {error}", self.id);
        }
    }
}

impl AsFd for Staging<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

fn make_directory(parent: &OwnedFd, name: &str) -> Result<OwnedFd> {
    mkdirat(parent, name, Mode::RWXU)?;
    let directory = open_below(parent, name)?;
    fchmod(&directory, DIRECTORY_MODE)?;
    Ok(directory)
}

fn open_below(parent: &OwnedFd, name: &str) -> Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat2(parent, name, flags, Mode::empty(), resolve).with_context(|| format!("cannot open {name}"))
}

#[cfg(test)]
mod tests;
