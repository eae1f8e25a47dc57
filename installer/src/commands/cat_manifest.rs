// SPDX-License-Identifier: Apache-2.0
//! `installer cat-manifest`: prints a pod's manifest.

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::exit::Exit;
use crate::ui::Ui;

/// Print a pod's manifest, as it is stored
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A pod's UUID, the beginning of one, its name, or its directory
    #[arg(value_name = "POD")]
    pod: String,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let manifest =
        context.on_pod(&args.pod, |_, pod| pod.manifest().with_context(|| format!("pod {}", pod.id())));
    Ui.print(&manifest?)?;
    Ok(Exit::Done)
}
