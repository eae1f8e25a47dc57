// SPDX-License-Identifier: Apache-2.0
//! `installer gc`: removes pods that ended a while ago, what no pod refers to, and the cgroups that pods have left.

use std::time::Duration;

use anyhow::{Context as _, Result};
use store::{Collected, DataDir, Kept};

use crate::cgroups;
use crate::context::{Context, report_mounted, sweep};
use crate::exit::Exit;
use crate::time::span;
use crate::ui::Ui;

/// Remove pods that ended a while ago, and then every image and stage1 that no pod refers to
///
/// A pod that was never started stays. So do images and stage1s that a pod directory refers to, or that a prepare or a
/// running pod uses at the moment. A line is printed for each pod, image and stage1 that is removed. Empty cgroups that
/// pods have left are removed as well, without a line.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long a pod is kept after its end
    ///
    /// TIME is a number of seconds, or has a unit: 500ms, 30s, 5m, 2h, 1d. If a pod's end was not recorded, the time
    /// counts from the first gc that finds it ended.
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = span)]
    grace: Duration,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    // The store is collected whatever becomes of the cgroups.
    let swept = cgroups::sweep().context("cannot remove the cgroups that pods have left");
    let failed = swept.inspect_err(|error| Ui.error(error)).is_err();
    let collected = match context.in_store(|data_dir| collect(data_dir, args.grace))? {
        Some(exit) => exit,
        None => context.check_dir().map(|()| Exit::Done)?,
    };
    Ok(if failed { Exit::Failed } else { collected })
}

fn collect(data_dir: &DataDir, grace: Duration) -> Result<Exit> {
    let (mut exit, mut lines) = (sweep(data_dir)?, Ui.lines());
    for (id, removed) in pods::collect(data_dir, grace)? {
        match removed {
            Ok(()) => lines.add(&format!("removed pod {id}")),
            Err(mounted) => exit = report_mounted(format!("cannot remove pod {id}"), mounted),
        }
    }
    for (id, outcome) in store::collect(data_dir)? {
        match outcome {
            Collected::Removed(info) => {
                let what = info.as_ref().map_or("damaged tree", |info| info.kind.shown());
                let name = info.and_then(|info| info.name).map(|name| format!(" {name}"));
                lines.add(&format!("removed {what} {id}{}", name.unwrap_or_default()));
            }
            Collected::Kept(Kept::Mounted(mounted)) => {
                exit = report_mounted(format!("cannot remove tree {id}"), mounted);
            }
            Collected::Kept(Kept::Referred(_) | Kept::InUse | Kept::Missing) => {}
        }
    }
    lines.end().map(|()| exit)
}
