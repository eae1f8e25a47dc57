// SPDX-License-Identifier: Apache-2.0
//! Attacks that are calls which no safe function makes: programs in `calls` beside this one, each of which makes one or a few
//! calls and exits with the error number of the one that failed.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::errno::Errno;

use crate::attack::io_step;

/// Tells whether the image has such a program.
pub(crate) fn has(name: &str) -> bool {
    path(name).is_some_and(|path| path.exists())
}

/// Runs a program.
pub(crate) fn run(name: &str, stdin: Stdio) -> Result<(), String> {
    let program = path(name).ok_or("no directory of programs")?;
    let status = io_step(format_args!("execute {name}"), Command::new(program).stdin(stdin).status())?;
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(number), _) => Err(format!("{name}: {:?}", Errno::from_raw(number))),
        (None, signal) => Err(format!("{name}: signal {signal:?}")),
    }
}

fn path(name: &str) -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.join("calls").join(name))
}
