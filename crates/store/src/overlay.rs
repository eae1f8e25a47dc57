// SPDX-License-Identifier: Apache-2.0
//! Tests whether overlays can be made of certain directories, by making one that is mounted nowhere.
//!
//! Only the kernel can tell which file systems can hold an upper layer, and that differs between its versions. A success
//! is remembered until the next boot, because releasing a mount takes longer than everything else that a `prepare` of
//! known content does.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, fstat, readlinkat, symlinkat, unlinkat};
use rustix::io::Errno;

use crate::data_dir::DataDir;
use sys::overlay::{Layers, Unmade, make};

/// Tells whether a probe failed for a lack of something that has nothing to do with overlays.
pub fn is_trouble(error: &Unmade) -> bool {
    matches!(
        error.errno(),
        Some(Errno::NOSPC | Errno::IO | Errno::DQUOT | Errno::NOMEM | Errno::MFILE | Errno::NFILE)
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
pub fn probe(lower: &OwnedFd, upper: &OwnedFd, work: &OwnedFd) -> Result<(), Unmade> {
    make(&Layers { lower, upper, work }).map(drop)
}
