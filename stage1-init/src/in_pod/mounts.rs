// SPDX-License-Identifier: Apache-2.0
//! Gives every app's tree the pod's /proc, /sys and /dev, and puts the launcher into that /dev.
//!
//! This can't be done before the pod's namespaces are there. The targets are resolved in the app's root.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use pod::layout;
use pod::path::RelativePath;

use super::LAUNCH_PATH;
use crate::failure::report;
use crate::in_root::InRoot;

/// What every app sees of the pod.
const SHARED: [&str; 3] = ["proc", "sys", "dev"];

/// Mounts, or says why not and returns a failure.
pub(crate) fn run() -> ExitCode {
    match mount_all() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

fn mount_all() -> Result<()> {
    File::create(LAUNCH_PATH).with_context(|| format!("cannot make {LAUNCH_PATH}"))?;
    let launcher = || format!("cannot mount {LAUNCH_PATH}");
    mount(Some("/init"), LAUNCH_PATH, None::<&str>, MsFlags::MS_BIND, None::<&str>).with_context(launcher)?;
    make_read_only(LAUNCH_PATH).with_context(launcher)?;
    // The one directory where devices work is nobody's to write in. What is mounted below it still is.
    make_read_only("/dev").context("cannot restrict /dev")?;
    for image in fs::read_dir(format!("/{}", layout::IMAGES)).context("cannot read the images' directory")? {
        let rootfs = image?.path().join(layout::IMAGE_ROOTFS);
        mount_into(&File::open(&rootfs).with_context(|| format!("cannot open {}", rootfs.display()))?)
            .with_context(|| format!("cannot mount into {}", rootfs.display()))?;
    }
    Ok(())
}

fn mount_into(rootfs: &File) -> Result<()> {
    let root = InRoot::open_at(rootfs, ".")?;
    for name in SHARED {
        let target = root.make_dir(&RelativePath::from_bytes(name.as_bytes())?)?;
        bind_recursive(&format!("/{name}"), &target).with_context(|| format!("cannot mount /{name}"))?;
    }
    Ok(())
}

fn make_read_only(path: &str) -> io::Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID;
    Ok(mount(None::<&str>, path, None::<&str>, flags, None::<&str>)?)
}

/// mount(2) takes paths; this one is the open directory, whatever its name has become.
fn bind_recursive(source: &str, target: impl AsFd) -> io::Result<()> {
    let target = format!("/proc/self/fd/{}", target.as_fd().as_raw_fd());
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    Ok(mount(Some(source), target.as_str(), None::<&str>, flags, None::<&str>)?)
}
