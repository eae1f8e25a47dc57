// SPDX-License-Identifier: Apache-2.0
//! Ways out of a root directory: an open descriptor, a working directory outside of it, a second chroot(2). And what
//! lies in the root that belongs to all of the host: devices, and the kernel's settings in /proc.

use std::env;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{chroot, fchdir};

use crate::attack::{Attack, io_step, step};

pub(crate) const ATTACKS: &[(&str, Attack)] = &[
    ("descriptors", descriptors),
    ("working-directory", working_directory),
    ("second-chroot", second_chroot),
    ("device", device),
    ("own-sysctl", || command("/proc/sys/kernel/core_pattern")),
];

/// Looks for a descriptor beside stdin, stdout and stderr.
fn descriptors() -> Result<(), String> {
    let listed = io_step("list fd", fs::read_dir("/proc/self/fd"))?.flatten();
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let beside = |path: &PathBuf| number(path).is_some_and(|number| number > 2);
    let paths: Vec<_> = listed.map(|entry| entry.path()).filter(beside).collect();
    // The listing's own descriptor is closed by now.
    match paths.iter().any(|path| fs::read_link(path).is_ok()) {
        true => Ok(()),
        false => Err("none is left open".into()),
    }
}

fn working_directory() -> Result<(), String> {
    let root = io_step("look at /", fs::metadata("/"))?;
    is_elsewhere(&root)
}

/// Enters another root with the working directory outside of it.
fn second_chroot() -> Result<(), String> {
    let root = io_step("look at /", fs::metadata("/"))?;
    let outside = io_step("open /", File::open("/"))?;
    step("chroot", chroot("/tmp"))?;
    step("fchdir", fchdir(&outside))?;
    is_elsewhere(&root)
}

/// Climbs from the working directory as far as it goes.
fn is_elsewhere(root: &Metadata) -> Result<(), String> {
    let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    let top = io_step("climb", climb(same))?;
    if same(&top, root) { Err("it ends at the root".into()) } else { Ok(()) }
}

fn climb(same: impl Fn(&Metadata, &Metadata) -> bool) -> io::Result<Metadata> {
    loop {
        let here = fs::metadata(".")?;
        env::set_current_dir("..")?;
        if same(&fs::metadata(".")?, &here) {
            return Ok(here);
        }
    }
}

/// Makes a device, in $ATTACK_PLACE where that is a volume, and removes it.
fn device() -> Result<(), String> {
    let place = env::var_os("ATTACK_PLACE").map_or_else(|| "/tmp".into(), PathBuf::from);
    let device = place.join(format!("device-{}", std::process::id()));
    step("mknod", mknod(&device, SFlag::S_IFCHR, Mode::S_IRUSR, makedev(1, 3)))?;
    io_step("remove", fs::remove_file(device))
}

/// Opens a file that tells the kernel what to do.
fn command(path: &str) -> Result<(), String> {
    io_step(format_args!("open {path}"), OpenOptions::new().write(true).open(path)).map(drop)
}
