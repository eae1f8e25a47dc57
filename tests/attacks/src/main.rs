// SPDX-License-Identifier: Apache-2.0
//! Attacks the boundary between a pod and its host, as an app would. The suite puts this program into images. It is
//! static and needs nothing in an image but a directory `/tmp` to mount on.
//!
//! ```text
//! attack [--as MARK] [--stay] ATTACK…
//! ```
//!
//! Each attack is made by a process of its own, so that none spoils the next, and prints one line on stdout:
//!
//! ```text
//! APP ATTACK: OUTCOME
//! ```
//!
//! APP is the app's name (`AC_APP_NAME`). OUTCOME is [`attack::THROUGH`], or the step that failed and its error: `unshare:
//! EPERM`. An ATTACK is one of [`ATTACKS`], or a program in `calls` beside this one.
//!
//! MARK is what others find the process by: an attack on another process looks for the one whose mark is in
//! `ATTACK_VICTIM`. With `--stay`, the process says `APP stays` at the end and waits for a signal. `ATTACK_PLACE` is a directory for devices.
//!
//! An attack that gets through does no harm: it ends where it could begin to do some. It writes nothing to what it has
//! opened for writing.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | every outcome was printed, whatever it is |
//! | 2 | there is no such attack, or stdout can't be written to |
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a tool that can't speak has failed")]

mod attack;
mod calls;
mod cgroups;
mod limits;
mod mounts;
mod network;
mod others;
mod rights;
mod roots;
mod terminals;

use std::env;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::process::{ExitCode, Stdio};
use std::thread;

use anyhow::{Context, Error, Result};

use attack::{Attack, THROUGH, outcome};

/// All attacks, by name. A name with `inside` is the second half of an attack, made in the namespaces of the first
/// half.
const ATTACKS: [&[(&str, Attack)]; 8] = [
    cgroups::ATTACKS,
    limits::ATTACKS,
    mounts::ATTACKS,
    network::ATTACKS,
    others::ATTACKS,
    rights::ATTACKS,
    roots::ATTACKS,
    terminals::ATTACKS,
];

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let done = match &words[..] {
        ["--one", name] => make(name),
        ["--become"] => rights::become_other().map_err(Error::msg),
        ["--as", _, attacks @ ..] | attacks => make_all(attacks),
    };
    if let Err(error) = done {
        eprintln!("error: {error:#}");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

fn make_all(words: &[&str]) -> Result<()> {
    let (stay, attacks) = match words {
        ["--stay", attacks @ ..] => (true, attacks),
        attacks => (false, attacks),
    };
    attacks.iter().try_for_each(|name| report(name))?;
    if stay {
        say(&format!("{} stays", app()))?;
        loop {
            thread::park();
        }
    }
    Ok(())
}

/// Makes an attack in this process, and prints its outcome.
fn make(name: &str) -> Result<()> {
    let known = ATTACKS.iter().copied().flatten().find(|(known, _)| *known == name);
    let (_, attack) = known.with_context(|| format!("{name:?} is not an attack known here"))?;
    say(&attack().err().unwrap_or_else(|| THROUGH.into()))
}

/// Makes an attack in a process of its own, and prints its line.
fn report(name: &str) -> Result<()> {
    let stdin = match terminals::has(name) {
        true => io::stdout().as_fd().try_clone_to_owned().context("cannot duplicate stdout")?.into(),
        false => Stdio::inherit(),
    };
    let came = match calls::has(name) {
        true => calls::run(name, stdin).err().unwrap_or_else(|| THROUGH.into()),
        false => outcome(name, stdin)?,
    };
    say(&format!("{} {name}: {came}", app()))
}

fn app() -> String {
    env::var("AC_APP_NAME").unwrap_or_else(|_| "-".into())
}

/// Prints a line in one piece, since several apps may write to the same pipe.
fn say(line: &str) -> Result<()> {
    io::stdout().write_all(format!("{line}\n").as_bytes()).context("cannot write to stdout")
}
