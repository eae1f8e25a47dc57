// SPDX-License-Identifier: Apache-2.0
//! `installer top`: shows what the apps of a running pod use.

use std::time::Duration;

use anyhow::Result;
use pods::{AppUse, ProcessUse};
use serde_json::{Value, json};
use terminal::progress::bytes;

use crate::context::{self, Context, Format};
use crate::exit::Exit;
use crate::table::{self, Align};
use crate::ui::Ui;

/// Show the processes of a running pod, and the processor time and memory that its apps use
///
/// Each app has a line for all of it, and one for each process. PID is the process's id on the host.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A pod's UUID, the beginning of one, its name, or its directory
    #[arg(value_name = "POD")]
    pod: String,
    /// The form of the output
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let apps = context.on_pod(&args.pod, |_, pod| pods::top(&pod))?;
    let text = match args.format {
        Format::Table => table(&apps),
        Format::Json => context::json(&apps.iter().map(object).collect()),
    };
    Ui.print(text.as_bytes())?;
    Ok(Exit::Done)
}

fn table(apps: &[AppUse]) -> String {
    let cells = |name: &str, id: String, cpu: Duration, memory: u64, command: String| {
        let time = format!("{}.{:02} s", cpu.as_secs(), cpu.subsec_millis() / 10);
        [name.to_owned(), id, time, bytes(memory), command]
    };
    let rows: Vec<_> = apps
        .iter()
        .flat_map(|AppUse { app, cpu, memory, processes }| {
            let name = app.in_manifest();
            let all = match processes.len() {
                1 => "1 process".to_owned(),
                count => format!("{count} processes"),
            };
            let whole = cells(&name, "-".into(), *cpu, *memory, all);
            let each = processes.iter().map(move |ProcessUse { id, cpu, memory, command }| {
                cells(&name, id.to_string(), *cpu, *memory, command.clone())
            });
            [whole].into_iter().chain(each)
        })
        .collect();
    let heading = [
        ("APP", Align::Left),
        ("PID", Align::Right),
        ("CPU", Align::Right),
        ("MEMORY", Align::Right),
        ("COMMAND", Align::Left),
    ];
    table::format(heading, &rows)
}

fn object(used: &AppUse) -> Value {
    let process = |process: &ProcessUse| {
        json!({
            "process": process.id, "cpu": process.cpu.as_secs_f64(), "memory": process.memory,
            "command": process.command,
        })
    };
    json!({
        "app": used.app.in_manifest(), "cpu": used.cpu.as_secs_f64(), "memory": used.memory,
        "processes": used.processes.iter().map(process).collect::<Vec<_>>(),
    })
}
