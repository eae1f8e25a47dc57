// SPDX-License-Identifier: Apache-2.0
//! `installer status`: says how a pod is, at once or when it has ended.

use std::time::Duration;

use anyhow::{Result, anyhow};
use pod::manifest::PodPort;
use pod::network::Published;
use pod::text::one_line;
use pods::{Description, End, Waited};
use report::Hint as _;

use super::list::code;
use super::named::described;
use crate::context::{self, Context, Format};
use crate::exit::Exit;
use crate::pod_json;
use crate::time::{age, moment, span};
use crate::ui::Ui;

/// Show a pod's state, times, exit code, and the exit code of each app
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A pod's UUID, the beginning of one, its name, or its directory
    #[arg(value_name = "POD")]
    pod: String,
    /// Wait until the pod has ended; fail if that takes longer than TIME
    ///
    /// TIME is a number of seconds, or has a unit: 500ms, 30s, 5m, 2h, 1d.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, value_parser = span)]
    wait: Option<Option<Duration>>,
    /// The form of the output
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    context.on_pod(&args.pod, |_, pod| {
        let waited = args.wait.map(|time| pods::wait(&pod, time, &context.interrupt)).transpose()?;
        let described = described(&pod)?;
        let text = match args.format {
            Format::Table => text(&described),
            Format::Json => context::json(&pod_json::object(&described)),
        };
        Ui.print(text.as_bytes())?;
        match (waited, args.wait) {
            (Some(Waited::TimeOver), Some(Some(time))) => {
                Err(anyhow!("pod {} has not ended after {}", pod.id(), age(time)))
                    .hint(format!("{} stop ends it", report::program()))
            }
            _ => Ok(Exit::Done),
        }
    })
}

fn text(pod: &Description) -> String {
    let mut lines = vec![
        ("pod", pod.id.to_string()),
        ("state", pod.state.to_string()),
        ("directory", pod.path.to_string_lossy().into_owned()),
    ];
    lines.extend(pod.name.as_ref().map(|name| ("name", name.to_string())));
    let last = pod.last();
    lines.extend(pod.created.map(|created| ("prepared", moment(created))));
    lines.extend(last.and_then(|run| run.started).map(|started| ("started", moment(started))));
    lines.extend(pod.ended().map(|ended| ("ended", moment(ended))));
    if let Some(End::Found(found)) = last.and_then(|run| run.end) {
        lines.push(("found ended", moment(found)));
    }
    if code(pod) != "-" {
        lines.push(("code", code(pod)));
    }
    lines.extend(pod.process.map(|process| ("process", process.to_string())));
    lines.extend(pod.mode.as_ref().map(|mode| ("network", mode.to_string())));
    lines.extend(pod.addresses.iter().map(|address| ("address", address.to_string())));
    lines.extend(pod.ports.iter().map(|one| ("port", port(one))));
    lines.extend((pod.runs.len() > 1).then(|| ("runs", pod.runs.len().to_string())));
    lines.extend(pod.problem.clone().map(|problem| ("damaged", problem)));
    let mut text: String =
        lines.iter().map(|(name, value)| format!("{name:<12}{}\n", one_line(value))).collect();
    for app in &pod.apps {
        let how = match app.status {
            Some(status) => format!("ended with {}, {} ago", status.code, age(status.ended.age())),
            None if pod.state.is_alive() => "has not ended".to_owned(),
            None => "has no status".to_owned(),
        };
        text += &format!("{:<12}{}: {how}\n", "app", one_line(&app.name.in_manifest()));
    }
    text
}

/// Describes a port of the host as `--publish` has it; or by its name, if an app's port of this name says the rest.
fn port(port: &PodPort) -> String {
    let Some(in_pod) = &port.pod_port else { return format!("{} as {}", port.host_port, port.name) };
    let first = in_pod.numbers().next().unwrap_or_default();
    let published = Published::new(port.host_ip, in_pod.protocol, port.host_port, first, in_pod.count());
    published.map_or_else(|error| error.to_string(), |published| published.to_string())
}
