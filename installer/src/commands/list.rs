// SPDX-License-Identifier: Apache-2.0
//! `installer list`: lists pods, as a table for people or as JSON for programs.

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use pod::text::escape;
use pods::{Description, Ending, Pod, State};
use store::DataDir;
use store::listener::Listener as _;

use crate::context::{self, Context, Format};
use crate::exit::Exit;
use crate::pod_json;
use crate::table::{self, Align};
use crate::time::age;
use crate::ui::Ui;

/// How many characters of an id are shown at least.
const SHORT: usize = 8;

/// List the pods
///
/// SINCE is how long the pod has been in its state. CODE is the pod's exit code, `failed` where Gantry itself failed,
/// `killed` where the pod's process was killed, `?` where it was not recorded.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The form of the output
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Only pods in this state; may be repeated
    #[arg(long = "state", value_name = "STATE", value_parser = PossibleValuesParser::new(State::ALL.map(State::name)))]
    states: Vec<String>,
    /// Whole ids
    #[arg(long)]
    full: bool,
    /// Ids alone, a line each
    #[arg(long, short, conflicts_with = "format")]
    quiet: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    // The table has no addresses.
    let describe = match args.format {
        Format::Table => Description::of,
        Format::Json => Description::with_addresses,
    };
    let mut pods = Vec::new();
    context.in_store(|data_dir| {
        pods = all(data_dir, describe)?;
        Ok(Exit::Done)
    })?;
    pods.retain(|pod| args.states.is_empty() || args.states.iter().any(|state| state == pod.state.name()));
    for problem in pods.iter().filter_map(|pod| Some(format!("pod {}: {}", pod.id, pod.problem.as_ref()?))) {
        Ui.warn(&problem);
    }
    let text = match args.format {
        _ if args.quiet => pods.iter().map(|pod| format!("{}\n", pod.id)).collect(),
        Format::Table => table(&pods, args.full),
        Format::Json => context::json(&pods.iter().map(pod_json::object).collect()),
    };
    Ui.print(text.as_bytes())?;
    Ok(Exit::Done)
}

/// Describes all pods, in the order in which they were made. Pods that are removed meanwhile are left out.
fn all(data_dir: &DataDir, describe: fn(&Pod) -> Result<Description>) -> Result<Vec<Description>> {
    let mut all: Vec<_> =
        pods::preparing(data_dir)?.into_iter().map(|id| Description::of_preparing(data_dir, id)).collect();
    for id in pods::ids(data_dir)? {
        data_dir.interrupt.check()?;
        if let Some(pod) = Pod::open(data_dir, id)? {
            let described = describe(&pod)?;
            // What is read during its removal may be wrong.
            all.extend(pod.is_there().then_some(described));
        }
    }
    for name in pods::strangers(data_dir)? {
        Ui.warn(&format!("{} in containers is no pod: expected a UUID", escape(&name)));
    }
    // One that was being prepared may be complete by now.
    let complete: Vec<_> = all.iter().filter(|pod| pod.state != State::Preparing).map(|pod| pod.id).collect();
    all.retain(|pod| pod.state != State::Preparing || !complete.contains(&pod.id));
    all.sort_by_key(|pod| (pod.state == State::Preparing, pod.created, pod.id));
    Ok(all)
}

fn table(pods: &[Description], full: bool) -> String {
    let length = if full { usize::MAX } else { shortest(pods) };
    let row = |pod: &Description| {
        let apps: Vec<_> = pod.apps.iter().map(|app| app.name.in_manifest()).collect();
        [
            pod.id.to_string().chars().take(length).collect(),
            pod.state.to_string(),
            code(pod),
            since(pod),
            pod.name.as_ref().map_or_else(String::new, ToString::to_string),
            if pod.problem.is_some() { "(damaged)".to_owned() } else { apps.join(", ") },
        ]
    };
    let heading = [
        ("POD", Align::Left),
        ("STATE", Align::Left),
        ("CODE", Align::Right),
        ("SINCE", Align::Right),
        ("NAME", Align::Left),
        ("APPS", Align::Left),
    ];
    table::format(heading, &pods.iter().map(row).collect::<Vec<_>>())
}

/// Returns how many characters tell all of these pods' ids apart.
fn shortest(pods: &[Description]) -> usize {
    let mut ids: Vec<_> = pods.iter().map(|pod| pod.id.to_string()).collect();
    ids.sort_unstable();
    let common = |pair: &[String]| pair[0].bytes().zip(pair[1].bytes()).take_while(|(a, b)| a == b).count();
    ids.windows(2).map(|pair| common(pair) + 1).max().unwrap_or_default().max(SHORT)
}

/// Formats a pod's code, if it has ended.
pub(super) fn code(pod: &Description) -> String {
    match (pod.state, pod.last().and_then(pods::Run::ending)) {
        (State::Exited, Some(Ending::Code(code))) => code.to_string(),
        (State::Exited, Some(Ending::Failure(_))) => "failed".to_owned(),
        (State::Exited, Some(Ending::Killed)) => "killed".to_owned(),
        (State::Exited, None) => "?".to_owned(),
        _ => "-".to_owned(),
    }
}

fn since(pod: &Description) -> String {
    let when = match pod.state {
        State::Preparing => None,
        State::Prepared => pod.created,
        State::Running | State::Stopping => pod.last().and_then(|run| run.started),
        State::Exited => pod.ended(),
    };
    when.map_or_else(|| "-".to_owned(), |when| age(when.age()))
}

#[cfg(test)]
mod tests {
    use pods::{End, Moment, Run};

    use super::*;

    fn pod(id: &str, state: State, ending: Option<Ending>) -> Description {
        let end = ending.map(|ending| End::At(Moment::now(), ending));
        Description {
            id: id.parse().unwrap(),
            name: None,
            path: "/".into(),
            state,
            process: None,
            created: Some(Moment::now()),
            apps: Vec::new(),
            mode: None,
            addresses: Vec::new(),
            ports: Vec::new(),
            runs: vec![Run { started: Some(Moment::now()), end }],
            problem: None,
        }
    }

    #[test]
    fn ids_are_as_short_as_they_can_be_told_apart() {
        let [one, other] = ["6733c088-a507-4694-aabf-ae0bc1ccaaff", "6733c088-a517-4694-aabf-ae0bc1ccaaff"];
        let [one, other] = [one, other].map(|id| pod(id, State::Exited, None));
        assert_eq!(shortest(&[]), 8);
        assert_eq!(shortest(std::slice::from_ref(&one)), 8);
        assert_eq!(shortest(&[one, other]), 12);
    }

    #[test]
    fn codes_are_of_pods_that_have_ended() {
        let id = "6733c088-a507-4694-aabf-ae0bc1ccaaff";
        for (state, ending, shown) in [
            (State::Exited, Some(Ending::Code(7)), "7"),
            (State::Exited, Some(Ending::Failure(5)), "failed"),
            (State::Exited, Some(Ending::Killed), "killed"),
            (State::Exited, None, "?"),
            (State::Running, None, "-"),
            // The next start has not been written down yet.
            (State::Running, Some(Ending::Code(7)), "-"),
        ] {
            assert_eq!(code(&pod(id, state, ending)), shown);
        }
    }
}
