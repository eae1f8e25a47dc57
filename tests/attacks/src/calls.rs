// SPDX-License-Identifier: Apache-2.0
//! Makes a user namespace by every call that can, in every way of entering the kernel, and other calls that the filter
//! of apps is about. Programs in the image's root make one call each and exit with its error number.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use nix::errno::Errno;

use crate::attack::{Attack, io_step};

pub(crate) const ATTACKS: &[(&str, Attack)] = &[
    ("clone", || run("clone")),
    ("clone3", || run("clone3")),
    ("unshare", || run("unshare")),
    ("i386-clone", || run("i386-clone")),
    ("i386-clone3", || run("i386-clone3")),
    ("i386-unshare", || run("i386-unshare")),
    ("io_uring_setup", || run("io_uring_setup")),
    ("join_keyring", || run("join_keyring")),
    ("personality", || run("personality")),
    ("syslog", || run("syslog")),
    ("i386-join_keyring", || run("i386-join_keyring")),
    ("i386-personality", || run("i386-personality")),
    ("i386-socketcall", || run("i386-socketcall")),
    ("landlock", || run("landlock")),
    ("mlockall", || run("mlockall")),
    ("pkey_alloc", || run("pkey_alloc")),
];

fn run(call: &str) -> Result<(), String> {
    let status = io_step(format_args!("execute {call}"), Command::new(format!("/{call}")).status())?;
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(number), _) => Err(format!("{call}: {:?}", Errno::from_raw(number))),
        (None, signal) => Err(format!("{call}: signal {signal:?}")),
    }
}
