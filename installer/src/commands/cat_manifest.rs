// SPDX-License-Identifier: Apache-2.0
//! `installer cat-manifest`: prints a pod's manifest.

use anyhow::{Context as _, Result};

use super::named::removed;
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
    let manifest = context.on_pod(&args.pod, |_, pod| {
        match pod.manifest().with_context(|| format!("pod {}", pod.id())) {
            Err(_) if !pod.is_there() => Err(removed(&pod)),
            manifest => manifest,
        }
    });
    Ui.print(&manifest?)?;
    Ok(Exit::Done)
}
