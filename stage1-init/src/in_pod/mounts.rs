// SPDX-License-Identifier: Apache-2.0
//! Gives every app its /proc, /sys and /dev: the pod's /proc and /sys with what is sensitive in them masked, and a /dev
//! of a few devices.
//!
//! This can't be done before the pod's namespaces are there. The targets are in the app's root, and nothing is made
//! there: by now volumes are.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, fstat, makedev, mknod, umask};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use pod::layout;
use rustix::mount::MountAttrFlags;

use super::status::FAILED;
use crate::failure::{Step, report};
use crate::filesystem::{Submounts, attach, clone_tree, create};
use crate::in_root::InRoot;
use crate::plan::FAILURE_CODE;
use crate::sys::{Depth, set_attributes};
use crate::{stdio, sys};

/// The apps' /dev, in the pod.
const DEV: &str = "/run/gantry/dev";
/// Devices, by name and number (admin-guide/devices). There is no console behind /dev/console: it takes and gives
/// what /dev/null does.
const DEVICES: [(&str, u64, u64); 7] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
    ("console", 1, 3),
];
const LINKS: [(&str, &str); 5] = [
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];
/// What the pod's apps share.
const SHARED: [&str; 3] = ["pts", "shm", "mqueue"];
/// What tells of the host's hardware, memory or secrets: hidden, as OCI runtimes do by default (runtime-tools and
/// containerd's default `maskedPaths`).
const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
/// What changes the host: can be read alone (likewise, `readonlyPaths`).
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Mounts, or says why not and returns a failure.
pub(crate) fn run() -> ExitCode {
    // The message that waits on the socket has this started again where it failed. Once is enough to say why.
    if fs::exists(DEV).unwrap_or(false) {
        return ExitCode::FAILURE;
    }
    match mount_all() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // It is the service of the stdio socket, so the caller can be told.
            let _ = sys::take_listen_fd().map_err(Into::into).and_then(|socket| stdio::receive(&socket));
            report(&error);
            // The pod's code is that of a start that failed, as where `/init` itself makes a mount.
            let code = fs::read_to_string(format!("/{FAILURE_CODE}"));
            let _ = fs::write(FAILED, code.unwrap_or_else(|_| (Step::Namespace as u8).to_string()));
            ExitCode::FAILURE
        }
    }
}

fn mount_all() -> Result<()> {
    // systemd shares its mounts, and what is shared multiplies what is mounted in its copies.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("cannot make the pod's mounts private")?;
    make_dev().context("cannot make the apps' /dev")?;
    hide().context("cannot mask what is sensitive")?;
    for app in fs::read_dir(format!("/{}", layout::APPS)).context("cannot list the apps")? {
        let root = app?.path();
        mount_into(&root).with_context(|| format!("cannot mount into {}", root.display()))?;
    }
    Ok(())
}

fn make_dev() -> Result<()> {
    fs::create_dir_all(DEV)?;
    let safe = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    attach(create("tmpfs", &[("mode", "0755"), ("size", "64k")], safe)?, File::open(DEV)?)?;
    let mode = Mode::from_bits_truncate(0o666);
    let usual = umask(Mode::empty());
    for (name, major, minor) in DEVICES {
        mknod(Path::new(DEV).join(name).as_path(), SFlag::S_IFCHR, mode, makedev(major, minor))?;
    }
    umask(usual);
    for (name, target) in LINKS {
        symlink(target, Path::new(DEV).join(name))?;
    }
    for name in SHARED {
        let place = Path::new(DEV).join(name);
        fs::create_dir(&place)?;
        attach(clone_tree(&format!("/dev/{name}"), Submounts::Yes)?, File::open(place)?)?;
    }
    // The one directory where devices work is nobody's to write in. What is mounted below it still is.
    let flags =
        MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    Ok(mount(None::<&str>, DEV, None::<&str>, flags, None::<&str>)?)
}

fn hide() -> Result<()> {
    let empty = || create("tmpfs", &[("mode", "0555"), ("size", "4k")], MountAttrFlags::MOUNT_ATTR_RDONLY);
    for path in MASKED {
        let Some(place) = open(path)? else { continue };
        let is_directory =
            SFlag::from_bits_truncate(fstat(&place)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR;
        let mask = if is_directory { empty()? } else { clone_tree(&format!("{DEV}/null"), Submounts::No)? };
        attach(mask, place).context(path)?;
    }
    for path in READ_ONLY {
        let Some(place) = open(path)? else { continue };
        // nspawn makes most of them so.
        if fstatvfs(&place)?.flags().contains(FsFlags::ST_RDONLY) {
            continue;
        }
        let tree = clone_tree(path, Submounts::Yes)?;
        set_attributes(&tree, MountAttrFlags::MOUNT_ATTR_RDONLY, Depth::All)?;
        attach(tree, place).context(path)?;
    }
    Ok(())
}

/// Opens what a mount goes on. Not every kernel has every one of them.
fn open(path: &str) -> Result<Option<OwnedFd>> {
    match nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty()) {
        Err(Errno::ENOENT) => Ok(None),
        opened => Ok(Some(opened.with_context(|| format!("cannot open {path}"))?)),
    }
}

fn mount_into(root: &Path) -> Result<()> {
    let root = File::open(root)?;
    for (name, source, attributes) in [
        ("proc", "/proc", MountAttrFlags::empty()),
        // The pod's cgroups with it.
        ("sys", "/sys", MountAttrFlags::MOUNT_ATTR_RDONLY),
        ("dev", DEV, MountAttrFlags::empty()),
    ] {
        let tree = clone_tree(source, Submounts::Yes)?;
        // Private: what happens to it in an app stays there.
        set_attributes(&tree, attributes, Depth::All)?;
        let place = InRoot::open_at(&root, name).with_context(|| format!("cannot open /{name}"))?;
        attach(tree.as_fd(), place).with_context(|| format!("cannot mount /{name}"))?;
    }
    Ok(())
}
