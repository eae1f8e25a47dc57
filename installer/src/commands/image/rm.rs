// SPDX-License-Identifier: Apache-2.0
//! `installer image rm`: removes images that no pod refers to.

use anyhow::{Result, anyhow};
use report::Hint as _;
use store::{DataDir, Kept, NoImage, Outcome, Selector};

use crate::context::{Context, report_mounted, sweep};
use crate::exit::Exit;
use crate::ui::Ui;

/// Remove images that no pod refers to
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images, by id, the beginning of an id, or name
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    if let Some(exit) = context.in_store(|data_dir| remove(data_dir, &args.images))? {
        return Ok(exit);
    }
    context.check_dir()?;
    match args.images.first() {
        Some(image) => Err(report::told(NoImage(Selector::any(image)))),
        None => Ok(Exit::Done),
    }
}

fn remove(data_dir: &DataDir, images: &[String]) -> Result<Exit> {
    // The sweep comes first: if an earlier removal was killed halfway, repeating the command removes its leftovers even
    // though the image itself is gone already.
    let mut exit = sweep(data_dir)?;
    store::sweep_aliases(data_dir)?;
    let mut ids = Vec::new();
    for image in images {
        // The shared lock on the tree is released again here, before the tree is locked exclusively.
        let id = store::resolve(data_dir, &Selector::any(image))?.id();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let outcomes = store::remove(data_dir, &ids)?;
    store::sweep_aliases(data_dir)?;
    let (mut refused, mut lines) = (Vec::new(), Ui.lines());
    for (id, outcome) in outcomes {
        match outcome {
            Outcome::Removed(_) | Outcome::Kept(Kept::Missing) => lines.add(&format!("removed {id}")),
            Outcome::Kept(Kept::Mounted(mounted)) => {
                exit = report_mounted(format!("cannot remove image {id}"), mounted);
            }
            Outcome::Kept(Kept::InUse) => refused.push(format!("image {id} is in use")),
            Outcome::Kept(Kept::Referred(pods)) => refused.push(format!(
                "pod {} refers to image {id}",
                pods.first().map(ToString::to_string).unwrap_or_default()
            )),
        }
    }
    match refused.as_slice() {
        [] => lines.end().map(|()| exit),
        all => Err(anyhow!("{}", all.join("; ")))
            .hint(format!("{} rm removes a pod that has ended", report::program())),
    }
}
