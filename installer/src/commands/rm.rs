// SPDX-License-Identifier: Apache-2.0
//! `installer rm`: removes pods that don't run.

use std::time::Duration;

use anyhow::{Result, anyhow};
use pods::{Refused, Stop};
use report::Hint as _;
use store::staging::Staging;

use crate::context::Context;
use crate::exit::Exit;
use crate::ui::Ui;

/// How long a pod that is removed by force has to stop in order.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Remove pods, with everything that their apps have written
///
/// The host's files in volumes stay, and so do images: `gc` removes those that no pod refers to.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pods by UUID, the beginning of one, name, or directory
    #[arg(value_name = "POD", required = true)]
    pods: Vec<String>,
    /// Stop those that run first: in order, after 10 seconds by force
    #[arg(long, short)]
    force: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let mut lines = Ui.lines();
    let program = report::program();
    // What a killed removal has left goes first: its pod is no longer found.
    context.in_store(|data_dir| {
        Staging::sweep_or_warn(data_dir)?;
        Ok(Exit::Done)
    })?;
    let done = context.on_each(&args.pods, |data_dir, pod| {
        if args.force {
            pods::stop(&pod, Stop { timeout: Some(TIMEOUT), force: false }, &context.interrupt)?;
        }
        let id = pod.id();
        match pods::remove(data_dir, pod)? {
            Ok(()) => {
                lines.add(&format!("removed {id}"));
                Ok(())
            }
            Err(Refused::Mounted(mounted)) => {
                Err(anyhow::Error::new(mounted).context(format!("cannot remove pod {id}")))
            }
            Err(Refused::Is(state)) => Err(anyhow!("pod {id} is {state}: expected it to have ended"))
                .hint(format!("{program} stop {id}, or {program} rm --force {id}")),
        }
    })?;
    lines.end().map(|()| done)
}
