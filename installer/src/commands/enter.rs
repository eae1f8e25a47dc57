// SPDX-License-Identifier: Apache-2.0
//! `installer enter`: runs a program beside an app of a running pod.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Result, anyhow};
use sys::process::PROGRAM;

use crate::context::Context;
use crate::entered;
use crate::exit::Exit;

/// Run a program beside an app of a running pod
///
/// It has the app's root, environment, user, capabilities and filter of system calls, and never more than the app. It has
/// this command's stdin, stdout and stderr, or with --tty a terminal. Its exit code is this command's. It ends with the app.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A pod's UUID, the beginning of one, its name, or its directory
    #[arg(value_name = "POD")]
    pod: String,
    /// The app, if the pod has several
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
    /// Give the program a terminal of the pod's own, shown on this command's terminal
    #[arg(long, short)]
    tty: bool,
    /// Keep stdin. The program has it anyway; with --tty, a stdin that is no terminal is typed at the program's
    #[arg(long, short)]
    interactive: bool,
    /// The program and its arguments
    #[arg(last = true, value_name = "CMD", default_value = "/bin/sh")]
    program: Vec<String>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let pod = context.on_pod(&args.pod, |_, pod| {
        pods::wait_for_app(&pod, args.app.as_deref(), &context.interrupt)?;
        // Errors that take one line are reported before this process becomes another.
        pods::Entrance::open(&pod, args.app.as_deref(), &args.program, pods::Terminal::None)?;
        Ok(pod.path().to_owned())
    })?;
    let mut command = Command::new(PROGRAM);
    command.arg0(entered::NAME).arg(pod).arg(args.app.as_deref().unwrap_or_default());
    command.arg(entered::how(args.tty, args.interactive)).args(&args.program);
    command.env_clear().envs(std::env::var_os("TERM").map(|term| ("TERM", term))).current_dir("/");
    Err(anyhow!(command.exec()).context("cannot become the process that enters"))
}
