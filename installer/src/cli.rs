// SPDX-License-Identifier: Apache-2.0
//! The command line: arguments in, data on stdout, messages on stderr, and an exit code out.
//!
//! Each command is a file in [`crate::commands`]. [`crate::exit`] has the codes.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use image::stage1::BuiltIn;
use pod::layout;
use report::Hint as _;
use sys::Interrupt;

use crate::attendant;
use crate::commands::Command;
use crate::context::Context;
use crate::exit::Exit;
use crate::help::{called_by, examples};
use crate::options::environment;
use crate::ui::Ui;

/// Returns the parser of the command line, which has the name that the program was called by.
pub fn command() -> clap::Command {
    Arguments::command().name(report::program()).bin_name(report::program())
}

/// Runs app images as pods.
///
/// A pod is one or more apps that systemd supervises together, inside systemd-nspawn. `prepare` verifies the apps' images
/// and stage1 (the root file system with that systemd), unpacks them into a store, and makes a pod directory. `run` does
/// the same, and then becomes the pod. What is in the store already is not unpacked again. Nothing of the host's userland
/// is used. Needs root.
#[derive(Debug, Parser)]
#[command(version, after_long_help = examples(), subcommand_required = true)]
pub(crate) struct Arguments {
    /// The directory of pods and images [default: $GANTRY_DIR or /var/lib/gantry]
    ///
    /// Pod directories are in DIR/containers, images in DIR/store. If DIR is missing, it is created, and only root can
    /// open it.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    main_with(None)
}

/// Runs the program with a stage1 that is built into it, and returns its exit code.
pub fn main_with(built_in: Option<&'static BuiltIn>) -> ExitCode {
    if let Some(code) =
        store::unpacker::main(image::policy).or_else(prepare::fetcher_main).or_else(attendant::main)
    {
        return code;
    }
    report::set_program(called_by(std::env::args_os().next().as_deref()));
    match parse().and_then(understood) {
        Ok((dir, command)) => execute(dir, command, built_in),
        Err(error) => Ui.usage(&error),
    }
    .into()
}

fn parse() -> Result<Arguments, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(std::env::args_os());
    matches
        .and_then(|matches| Arguments::from_arg_matches(&matches))
        .map_err(|error| error.format(&mut command))
}

/// Returns DIR and the command, once all arguments are checked.
fn understood(arguments: Arguments) -> Result<(PathBuf, Command), clap::Error> {
    let checked = arguments.command.check().and_then(|()| directory(arguments.dir));
    let dir = checked.map_err(|error| error.format(&mut command()))?;
    Ok((dir, arguments.command))
}

/// Returns DIR as an absolute path that fits on one line.
fn directory(given: Option<PathBuf>) -> Result<PathBuf, clap::Error> {
    let dir = given.or_else(|| environment("GANTRY_DIR")).unwrap_or_else(|| layout::DEFAULT_DIR.into());
    let why = match std::path::absolute(&dir) {
        Ok(dir) if !dir.as_os_str().as_encoded_bytes().contains(&b'\n') => return Ok(dir),
        Ok(_) => "expected a path without newlines".to_owned(),
        // The current directory was removed, or its path is too long.
        Err(error) => format!("it is relative, and where this command runs can't be told: {error}"),
    };
    Err(clap::Error::raw(ErrorKind::ValueValidation, format!("invalid --dir: {why}")))
}

/// Runs a command and reports its failure.
fn execute(dir: PathBuf, command: Command, built_in: Option<&'static BuiltIn>) -> Exit {
    let failure = command.failure();
    let (interrupt, done) = match watch() {
        Ok(interrupt) => {
            let context = Context { dir, interrupt, built_in };
            let done = command.run(&context);
            (context.interrupt, done)
        }
        Err(error) => (Interrupt::default(), Err(error)),
    };
    match (done, interrupt.signal()) {
        (Ok(exit), _) => exit,
        (Err(_), Some(signal)) => {
            Ui.tell("interrupted");
            Exit::Interrupted(signal)
        }
        (Err(error), None) => {
            Ui.error(&error);
            failure
        }
    }
}

/// Checks that the process runs as root, and starts to watch for signals.
fn watch() -> Result<Interrupt> {
    if !rustix::process::geteuid().is_root() {
        return Err(anyhow!("not root: expected to run as root")).hint("sudo, or a root shell");
    }
    Interrupt::watch().context("cannot watch for signals")
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
