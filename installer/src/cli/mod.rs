// SPDX-License-Identifier: Apache-2.0
//! The command line: arguments in, data on stdout, messages on stderr, and an exit code out.
//!
//! 0 done, 1 failed, 2 wrong usage. `run`: the pod's code, 254 where Gantry fails. All: 128 and the signal's number where
//! one ended it.

mod arguments;
mod images;
mod verify;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use nix::sys::signal::{SigSet, Signal};
use pod::layout;

use crate::run;
use crate::ui::Ui;
use arguments::{Arguments, Command, ImageCommand, PodOptions};
use images::Images;
use prepare::Request;
use prepare::{Plan, Prepared};
use report::Hint as _;
use sys::Interrupt;
use terminal::output;

/// What is to be done, all arguments understood.
enum Task {
    Prepare(Request),
    PrepareAndRun(Request, bool),
    Run(PathBuf, bool),
    Images(PathBuf, Images),
}

/// The program.
pub fn main() -> ExitCode {
    if let Some(code) = store::unpacker::main(image::policy) {
        return code;
    }
    match Arguments::try_parse().and_then(task) {
        Ok(task) => execute(&task),
        Err(error) => output::usage(&error),
    }
}

fn task(arguments: Arguments) -> Result<Task, clap::Error> {
    let dir = directory(arguments.dir)?;
    Ok(match arguments.command {
        Command::Prepare { options } => Task::Prepare(request(dir, options)?),
        Command::Run { pod: Some(pod), debug, .. } => Task::Run(run::find(&pod, &dir), debug),
        Command::Run { pod: None, options, debug } => Task::PrepareAndRun(request(dir, options)?, debug),
        Command::Image(ImageCommand::Import { images, limits }) => {
            Task::Images(dir, Images::Import(images, limits.limits()))
        }
        Command::Image(ImageCommand::List { format }) => Task::Images(dir, Images::List(format)),
        Command::Image(ImageCommand::Rm { images }) => Task::Images(dir, Images::Remove(images)),
        Command::Gc => Task::Images(dir, Images::Collect),
        Command::Verify { repair, images, limits } => {
            Task::Images(dir, Images::Verify { repair, images, limits: limits.limits() })
        }
    })
}

fn request(dir: PathBuf, options: PodOptions) -> Result<Request, clap::Error> {
    let PodOptions { images, volumes, stage1, stage1_sha256, pod_manifest, layout, limits } = options;
    if images.is_empty() {
        return Err(invalid(ErrorKind::MissingRequiredArgument, "expected --image FILE, once or more"));
    }
    let stage1 = stage1.or_else(|| environment("GANTRY_STAGE1"));
    let (layout, limits) = (layout.into(), limits.limits());
    Ok(Request { dir, images, volumes, stage1, stage1_digest: stage1_sha256, pod_manifest, layout, limits })
}

/// DIR as an absolute path that makes one line.
fn directory(given: Option<PathBuf>) -> Result<PathBuf, clap::Error> {
    let dir = given.or_else(|| environment("GANTRY_DIR")).unwrap_or_else(|| layout::DEFAULT_DIR.into());
    match std::path::absolute(&dir) {
        Ok(dir) if !dir.as_os_str().as_encoded_bytes().contains(&b'\n') => Ok(dir),
        _ => Err(invalid(ErrorKind::ValueValidation, "invalid --dir: expected a path without newlines")),
    }
}

fn environment(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn invalid(kind: ErrorKind, expected: &str) -> clap::Error {
    Arguments::command().error(kind, expected)
}

fn execute(task: &Task) -> ExitCode {
    let failure = match task {
        Task::Prepare(_) | Task::Images(..) => 1,
        Task::PrepareAndRun(..) | Task::Run(..) => run::FAILURE,
    };
    let mut interrupt = Interrupt::default();
    match try_execute(task, &mut interrupt) {
        Ok(code) => code,
        Err(error) => match interrupt.signal() {
            Some(signal) => {
                terminal::tell("interrupted");
                ExitCode::from(128 + signal)
            }
            None => {
                terminal::error(&error);
                ExitCode::from(failure)
            }
        },
    }
}

fn try_execute(task: &Task, interrupt: &mut Interrupt) -> Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        return Err(anyhow::anyhow!("not root: expected to run as root")).hint("sudo, or a root shell");
    }
    *interrupt = Interrupt::watch().context("cannot watch for signals")?;
    match task {
        Task::Prepare(request) => {
            output::check()?;
            prepare::apply(Plan::open(request)?, interrupt, &Ui, announce).map(|_| ExitCode::SUCCESS)
        }
        Task::PrepareAndRun(request, debug) => {
            let pod = prepare::apply(Plan::open(request)?, interrupt, &Ui, |_| Ok(()))?;
            start(&pod.path, *debug, interrupt)
        }
        Task::Run(pod, debug) => start(pod, *debug, interrupt),
        Task::Images(dir, task) => images::execute(dir, task, interrupt),
    }
}

fn start(pod: &Path, debug: bool, interrupt: &Interrupt) -> Result<ExitCode> {
    // A signal from here on waits for `/init`, which takes it as a request to stop.
    let requests = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    requests.thread_block().context("cannot hold signals back")?;
    interrupt.check()?;
    let never: Infallible = run::exec(pod, debug)?;
    match never {}
}

fn announce(pod: &Prepared) -> Result<()> {
    let mut line = pod.path.as_os_str().as_encoded_bytes().to_vec();
    line.push(b'\n');
    output::print(&line)?;
    terminal::tell(&format!("layout: {}", pod.layout));
    pod.warnings.iter().for_each(|warning| terminal::warn(warning));
    Ok(())
}

#[cfg(test)]
mod tests;
