// SPDX-License-Identifier: Apache-2.0
//! `installer inspect`: prints all that is known about pods, as JSON.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::named::described;
use crate::context::{self, Context};
use crate::exit::Exit;
use crate::pod_json;
use crate::ui::Ui;

/// Print all that is known about pods, with their manifests, as JSON
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pods by UUID, the beginning of one, name, or directory
    #[arg(value_name = "POD", required = true)]
    pods: Vec<String>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let mut all = Vec::new();
    for name in &args.pods {
        all.push(context.on_pod(name, |_, pod| {
            let manifest = pod.manifest().with_context(|| format!("pod {}", pod.id()));
            let mut object = pod_json::object(&described(&pod)?);
            // A manifest that is not JSON is reported in the member `problem`.
            object["manifest"] = serde_json::from_slice(&manifest?).unwrap_or(Value::Null);
            Ok(object)
        })?);
    }
    Ui.print(context::json(&all.into()).as_bytes())?;
    Ok(Exit::Done)
}
