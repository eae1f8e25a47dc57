// SPDX-License-Identifier: Apache-2.0
//! Reads what is typed at the caller's terminal, through the descriptor that an app writes to. The kernel stops
//! background processes from reading only in the terminal's own session, and an app is in another one.
//!
//! The program's stdout is such an attack's stdin.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;

use nix::fcntl::OFlag;

use crate::attack::{Attack, io_step};

pub(crate) const ATTACKS: &[(&str, Attack)] =
    &[("terminal-read", read_stdin), ("terminal-reopen", || reopen("/proc/self/fd/0"))];

/// Tells whether an attack is one of these.
pub(crate) fn has(name: &str) -> bool {
    ATTACKS.iter().any(|(known, _)| *known == name)
}

/// Not with the runtime's stdin, which reports a stdin that can't be read as empty.
fn read_stdin() -> Result<(), String> {
    read(File::from(io_step("duplicate", io::stdin().as_fd().try_clone_to_owned())?))
}

fn read(mut terminal: impl Read) -> Result<(), String> {
    let count = io_step("read", terminal.read(&mut [0; 2]))?;
    if count == 0 { Err("read: nothing".into()) } else { Ok(()) }
}

fn reopen(path: &str) -> Result<(), String> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags((OFlag::O_NOCTTY | OFlag::O_NONBLOCK).bits());
    let terminal: File = io_step("open", options.open(path))?;
    read(terminal)
}
