// SPDX-License-Identifier: Apache-2.0
//! `installer wait`: waits for the ends of pods, and prints their codes.

use anyhow::{Result, anyhow};
use pods::{Run, Waited};

use super::named;
use crate::context::Context;
use crate::exit::Exit;
use crate::ui::Ui;

/// Wait until pods have ended, and print the exit code of each
///
/// A pod that has ended already isn't waited for. Where a code is not known, because the pod's process was killed or
/// Gantry itself failed, nothing is printed for it, and the command fails.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pods by UUID, the beginning of one, name, or directory
    #[arg(value_name = "POD", required = true)]
    pods: Vec<String>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    Ui.check()?;
    context.on_each(&args.pods, |_, pod| {
        let run = match pods::wait(&pod, None, &context.interrupt)? {
            Waited::Ended(run) => run,
            Waited::TimeOver => None,
        };
        match run.as_ref().and_then(Run::code) {
            Some(code) => Ui.print(format!("{code}\n").as_bytes()),
            None if run.is_none() && !pod.is_there() => Err(named::removed(&pod)),
            None if run.is_none() => Err(anyhow!("pod {} has no exit code: it was never started", pod.id())),
            None => Err(anyhow!("pod {} has no exit code: it did not come to an end of its own", pod.id())),
        }
    })
}
