// SPDX-License-Identifier: Apache-2.0
//! `installer gc`: removes what no pod refers to, and the cgroups that pods have left.

use anyhow::{Context as _, Result};
use store::{DataDir, Kept, Outcome};

use super::{Context, report_mounted, sweep};
use crate::cgroups;
use crate::exit::Exit;
use crate::ui::Ui;

/// Remove every image and stage1 that no pod refers to
///
/// What a pod directory refers to stays, and so does what a prepare or a running pod uses at the moment. A line is
/// printed for each image and stage1 that is removed. Empty cgroups that pods have left are removed as well, without a
/// line.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(super) fn run(_args: &Args, context: &Context) -> Result<Exit> {
    // The store is collected whatever becomes of the cgroups.
    let swept = cgroups::sweep().context("cannot remove the cgroups that pods have left");
    let failed = swept.inspect_err(|error| Ui.error(error)).is_err();
    let collected = match context.in_store(collect)? {
        Some(exit) => exit,
        None => context.check_dir().map(|()| Exit::Done)?,
    };
    Ok(if failed { Exit::Failed } else { collected })
}

fn collect(data_dir: &DataDir) -> Result<Exit> {
    let (mut exit, mut lines) = (sweep(data_dir)?, Ui.lines());
    for (id, outcome) in store::collect(data_dir)? {
        match outcome {
            Outcome::Removed(info) => {
                let what = info.as_ref().map_or("damaged tree", |info| info.kind.shown());
                let name = info.and_then(|info| info.name).map(|name| format!(" {name}"));
                lines.add(&format!("removed {what} {id}{}", name.unwrap_or_default()));
            }
            Outcome::Kept(Kept::Mounted(mounted)) => {
                exit = report_mounted(format!("cannot remove tree {id}"), mounted);
            }
            Outcome::Kept(Kept::Referred(_) | Kept::InUse | Kept::Missing) => {}
        }
    }
    lines.end().map(|()| exit)
}
