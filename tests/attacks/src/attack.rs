// SPDX-License-Identifier: Apache-2.0
//! What an attack is, how its steps are named, and how one is made in a process of its own.

use std::fmt::{Debug, Display};
use std::io;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// The outcome of an attack that got through.
pub(crate) const THROUGH: &str = "got through";

/// Succeeds if the attack got through; the error says what stopped it.
pub(crate) type Attack = fn() -> Result<(), String>;

/// Makes an attack in a process of its own, with this stdin, and returns its outcome.
pub(crate) fn outcome(name: &str, stdin: Stdio) -> Result<String> {
    let output = Command::new("/proc/self/exe").args(["--one", name]).stdin(stdin).output();
    let output = output.context("cannot execute /proc/self/exe")?;
    if !output.status.success() {
        bail!("{name}: {}", ended(output.status) + &String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// Makes the second half of an attack in a new process, which is in the namespaces made for children.
pub(crate) fn go_on(name: &str) -> Result<(), String> {
    match outcome(name, Stdio::inherit()).map_err(|error| format!("{error:#}"))? {
        through if through == THROUGH => Ok(()),
        stopped => Err(stopped),
    }
}

fn ended(status: ExitStatus) -> String {
    format!("it ended with {status} ")
}

/// Names the step that failed, and the error by its name.
pub(crate) fn step<T, E: Debug>(what: impl Display, done: Result<T, E>) -> Result<T, String> {
    done.map_err(|error| format!("{what}: {error:?}"))
}

/// Does the same for errors of the standard library.
pub(crate) fn io_step<T>(what: impl Display, done: io::Result<T>) -> Result<T, String> {
    let name = |error: io::Error| nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or_default());
    step(what, done.map_err(name))
}
