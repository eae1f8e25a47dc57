// SPDX-License-Identifier: Apache-2.0
//! Attacks the boundary between a pod and its host, as an app would. The suite puts this program into images. It is
//! static and needs nothing in an image but a directory `/tmp` to mount on.
//!
//! ```text
//! attack ATTACK…
//! ```
//!
//! Each attack is made by a process of its own, so that none spoils the next, and prints one line on stdout:
//!
//! ```text
//! APP ATTACK: OUTCOME
//! ```
//!
//! APP is the app's name (`AC_APP_NAME`). OUTCOME is [`THROUGH`], or the step that failed and its error: `unshare:
//! EPERM`.
//!
//! An attack that gets through does no harm: it ends where it could begin to do some. It writes nothing to what it has
//! opened for writing.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | every outcome was printed, whatever it is |
//! | 2 | there is no such attack, or stdout can't be written to |
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a tool that can't speak has failed")]

mod calls;
mod cgroups;
mod mounts;
mod terminals;

use std::env;
use std::fmt::{Debug, Display};
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// The outcome of an attack that got through.
const THROUGH: &str = "got through";

/// Succeeds if the attack got through; the error says what stopped it.
type Attack = fn() -> Result<(), String>;

/// All attacks, by name. A name with `inside` is the second half of an attack, made in the namespaces of the first
/// half.
const ATTACKS: [&[(&str, Attack)]; 4] =
    [calls::ATTACKS, cgroups::ATTACKS, mounts::ATTACKS, terminals::ATTACKS];

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let done = match &arguments[..] {
        [one, name] if one == "--one" => make(name),
        names => names.iter().try_for_each(|name| report(name)),
    };
    if let Err(error) = done {
        eprintln!("error: {error:#}");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

/// Makes an attack in this process, and prints its outcome.
fn make(name: &str) -> Result<()> {
    let known = ATTACKS.iter().copied().flatten().find(|(known, _)| *known == name);
    let (_, attack) = known.with_context(|| format!("{name:?} is not an attack known here"))?;
    say(&attack().err().unwrap_or_else(|| THROUGH.into()))
}

/// Makes an attack in a process of its own, and prints its line.
fn report(name: &str) -> Result<()> {
    let app = env::var("AC_APP_NAME").unwrap_or_else(|_| "-".into());
    say(&format!("{app} {name}: {}", outcome(name)?))
}

/// Prints a line in one piece, since several apps may write to the same pipe.
fn say(line: &str) -> Result<()> {
    io::stdout().write_all(format!("{line}\n").as_bytes()).context("cannot write to stdout")
}

/// Makes an attack in a process of its own, and returns its outcome.
fn outcome(name: &str) -> Result<String> {
    let stdin = match terminals::has(name) {
        true => io::stdout().as_fd().try_clone_to_owned().context("cannot duplicate stdout")?.into(),
        false => Stdio::inherit(),
    };
    let output = Command::new("/proc/self/exe").args(["--one", name]).stdin(stdin).output();
    let output = output.context("cannot execute /proc/self/exe")?;
    if !output.status.success() {
        bail!("{name}: {}", ended(output.status) + &String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// Makes the second half of an attack in a new process, which is in the namespaces made for children.
fn go_on(name: &str) -> Result<(), String> {
    match outcome(name).map_err(|error| format!("{error:#}"))? {
        through if through == THROUGH => Ok(()),
        stopped => Err(stopped),
    }
}

fn ended(status: ExitStatus) -> String {
    format!("it ended with {status} ")
}

/// Names the step that failed, and the error by its name.
fn step<T, E: Debug>(what: impl Display, done: Result<T, E>) -> Result<T, String> {
    done.map_err(|error| format!("{what}: {error:?}"))
}

/// Does the same for errors of the standard library.
fn io_step<T>(what: impl Display, done: io::Result<T>) -> Result<T, String> {
    let name = |error: io::Error| nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or_default());
    step(what, done.map_err(name))
}
