// SPDX-License-Identifier: Apache-2.0
//! `installer enter`: runs a program beside an app of a running pod.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Result, anyhow};

use crate::context::Context;
use crate::entered;
use crate::exit::Exit;
use crate::starter::PROGRAM;

/// Run a program beside an app of a running pod
///
/// It has the app's root, environment, user, capabilities and filter of system calls, and never more than the app. It has
/// this command's stdin, stdout and stderr, and its exit code is this command's. It ends with the app.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A pod's UUID, the beginning of one, its name, or its directory
    #[arg(value_name = "POD")]
    pod: String,
    /// The app, if the pod has several
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
    /// The program and its arguments
    #[arg(last = true, value_name = "CMD", default_value = "/bin/sh")]
    program: Vec<String>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let pod = context.on_pod(&args.pod, |_, pod| {
        // What can be said in one line is said before this process becomes another.
        pods::Entrance::open(&pod, args.app.as_deref(), &args.program)?;
        Ok(pod.path().to_owned())
    })?;
    let mut command = Command::new(PROGRAM);
    command.arg0(entered::NAME).arg(pod).arg(args.app.as_deref().unwrap_or_default()).args(&args.program);
    command.env_clear().current_dir("/");
    Err(anyhow!(command.exec()).context("cannot become the process that enters"))
}
