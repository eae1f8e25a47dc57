// SPDX-License-Identifier: Apache-2.0
//! `installer stop`: stops pods, and waits until nothing of them is left.

use std::time::Duration;

use anyhow::Result;
use pods::Stop;

use crate::context::Context;
use crate::exit::Exit;
use crate::time::span;

/// Stop pods in order, and wait until they have ended
///
/// Each app gets SIGTERM, and has its stop timeout to end. Handlers run. To stop a pod that does not run, or that is
/// stopping already, is no error.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pods by UUID, the beginning of one, name, or directory
    #[arg(value_name = "POD", required = true)]
    pods: Vec<String>,
    /// End a pod by force that has not ended after TIME [default: as long as its apps may take]
    ///
    /// TIME is a number of seconds, or has a unit: 500ms, 30s, 5m, 2h, 1d.
    #[arg(long, short, value_name = "TIME", value_parser = span)]
    timeout: Option<Duration>,
    /// End them at once, by SIGKILL: no handler runs, and no status is written
    #[arg(long, short, conflicts_with = "timeout")]
    force: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let how = Stop { timeout: args.timeout, force: args.force };
    context.on_each(&args.pods, |_, pod| pods::stop(&pod, how, &context.interrupt).map(drop))
}
