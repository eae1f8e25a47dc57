// SPDX-License-Identifier: Apache-2.0
//! Tests whether overlays can be made of certain directories, by making one that is mounted nowhere.
//!
//! Only the kernel can tell which file systems can hold an upper layer, and that differs between its versions. Layers
//! are named by descriptors, so a path may have any character. A success is remembered until the next boot, because
//! releasing a mount takes longer than everything else that a `prepare` of known content does.

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context, Result, ensure};
use rustix::fs::{AtFlags, StatVfsMountFlags, fstat, fstatvfs, readlinkat, symlinkat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
};

use crate::data_dir::DataDir;
use sys::proc_path;

/// Tells whether a probe failed for a lack of something that has nothing to do with overlays.
pub fn is_trouble(error: &anyhow::Error) -> bool {
    let errno = error.chain().find_map(|cause| cause.downcast_ref::<Errno>());
    matches!(
        errno,
        Some(&(Errno::NOSPC | Errno::IO | Errno::DQUOT | Errno::NOMEM | Errno::MFILE | Errno::NFILE))
    )
}

/// A link in the store, whose target names the boot and the device on which overlays were made.
const KNOWN: &str = "overlays";
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// Tells whether an overlay was made there since the last boot.
pub fn is_known(data_dir: &DataDir) -> Result<bool> {
    match readlinkat(&data_dir.aliases, KNOWN, Vec::new()) {
        Ok(known) => Ok(known.to_bytes() == here(data_dir)?.as_bytes()),
        Err(Errno::NOENT | Errno::INVAL) => Ok(false),
        Err(error) => Err(error).context("cannot read the store's names"),
    }
}

/// Remembers that an overlay was made there.
pub fn remember(data_dir: &DataDir) -> Result<()> {
    if is_known(data_dir)? {
        return Ok(());
    }
    forget(data_dir)?;
    match symlinkat(here(data_dir)?, &data_dir.aliases, KNOWN) {
        // Another process has remembered it, too.
        Err(Errno::EXIST) => Ok(()),
        done => done.context("cannot write into the store"),
    }
}

/// Forgets whatever was known about overlays there.
pub fn forget(data_dir: &DataDir) -> Result<()> {
    match unlinkat(&data_dir.aliases, KNOWN, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).context("cannot write into the store"),
    }
}

fn here(data_dir: &DataDir) -> Result<String> {
    let boot = std::fs::read_to_string(BOOT).context("cannot tell this boot from others")?;
    Ok(format!("{}-{}", boot.trim(), fstat(&data_dir.aliases)?.st_dev))
}

/// Makes an overlay of `lower` with changes in `upper`, checks that it can be written to, and releases it.
///
/// # Errors
/// If overlays can't be made of these directories, with the kernel's reason.
pub fn probe(lower: &OwnedFd, upper: &OwnedFd, work: &OwnedFd) -> Result<()> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).context("this kernel has no overlayfs")?;
    for (key, layer) in [("lowerdir", lower), ("upperdir", upper), ("workdir", work)] {
        let path = proc_path(layer);
        fsconfig_set_string(context.as_fd(), key, path).with_context(|| format!("cannot set its {key}"))?;
    }
    fsconfig_create(context.as_fd()).context("the file system can't hold an overlay's changes")?;
    let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        .context("cannot mount an overlay")?;
    // overlayfs silently becomes read-only if it can't use the work directory (overlayfs.rst).
    let flags = fstatvfs(&mount).context("cannot look at the overlay")?.f_flag;
    ensure!(!flags.contains(StatVfsMountFlags::RDONLY), "an overlay could not be written to");
    Ok(())
}
