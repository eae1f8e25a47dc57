// SPDX-License-Identifier: Apache-2.0
//! `installer logs`: shows what the apps of a pod in the background have written.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow};
use pod::logs::{OF_POD, file, file_of};
use pod::text::escape;
use pods::logs::{Line, Reader, Stream, Wanted};
use pods::{Description, Pod};
use report::Hint as _;
use store::listener::Listener as _;

use crate::context::Context;
use crate::exit::Exit;
use crate::time::span;
use crate::ui::Ui;

/// How often a log that is followed is looked at.
const STEP: Duration = Duration::from_millis(50);

/// Show what the apps of a pod in the background have written
///
/// What an app has written to stdout goes to stdout, and the rest to stderr. If a pod has several apps, each line
/// begins with the app's name.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A pod's UUID, the beginning of one, its name, or its directory
    #[arg(value_name = "POD")]
    pod: String,
    /// Only this app; repeat the option for several. POD means the pod's own messages
    #[arg(long = "app", value_name = "NAME")]
    apps: Vec<String>,
    /// Go on until the pod has ended
    #[arg(long, short)]
    follow: bool,
    /// Only what was written in the last TIME (30s, 5m, 2h), or since a date such as 2026-11-29T06:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<String>,
    /// Only the last N lines
    #[arg(long = "tail", short = 'n', value_name = "N")]
    last: Option<usize>,
    /// Begin each line with the time when it was written
    #[arg(long, short)]
    timestamps: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    Ui.check()?;
    context.on_pod(&args.pod, |_, pod| show(&pod, args, context))?;
    Ok(Exit::Done)
}

fn show(pod: &Pod, args: &Args, context: &Context) -> Result<()> {
    let wanted = wanted(pod, args)?;
    let mut printer =
        Printer { with_names: wanted.len() > 1, with_times: args.timestamps, collected: Vec::new() };
    let mut reader = Reader::open(pod, wanted)?;
    let mut last = args.last.map(|count| (count, VecDeque::new()));
    loop {
        context.interrupt.check()?;
        // Looked up first: what is written before the writer ends is read afterwards.
        let state = pods::look(pod)?.state;
        let may_come = state.is_alive() || reader.is_written()?;
        while let Some(line) = reader.next_line()? {
            context.interrupt.check()?;
            if args.since.as_ref().is_some_and(|since| line.time < *since) {
                continue;
            }
            match &mut last {
                Some((count, lines)) => {
                    lines.push_back(line);
                    if lines.len() > *count {
                        lines.pop_front();
                    }
                }
                None => printer.print(&line)?,
            }
        }
        printer.flush()?;
        // A pod that has ended may have a writer that is about to end.
        if !may_come || (!args.follow && state.is_alive()) {
            break;
        }
        if args.follow {
            for line in last.take().into_iter().flat_map(|(_, lines)| lines) {
                printer.print(&line)?;
            }
        }
        std::thread::sleep(STEP);
    }
    for line in last.take().into_iter().flat_map(|(_, lines)| lines) {
        printer.print(&line)?;
    }
    for line in reader.rest() {
        printer.print(&line)?;
    }
    printer.flush()?;
    reader.lost()?.iter().for_each(|lost| Ui.warn(lost));
    Ok(())
}

/// Returns the logs that are meant: those of the given apps, or of all, with the pod's own messages.
fn wanted(pod: &Pod, args: &Args) -> Result<Vec<Wanted>> {
    let described = Description::of(pod)?;
    let all = || described.apps.iter().map(|app| &app.name);
    if args.apps.is_empty() {
        return Ok(all().map(|app| Wanted { file: file(app), name: app.in_manifest() }).collect());
    }
    let one = |name: &String| {
        if name == OF_POD {
            let file = file_of(OF_POD).context("the pod has a log")?;
            return Ok(Wanted { file, name: OF_POD.into() });
        }
        match all().find(|app| app.in_manifest() == *name) {
            Some(app) => Ok(Wanted { file: file(app), name: app.in_manifest() }),
            None => {
                let names: Vec<_> = all().map(pod::name::AppName::in_manifest).collect();
                Err(anyhow!("pod {} has no app {}", pod.id(), escape(name)))
                    .hint(format!("its apps: {}", names.join(", ")))
            }
        }
    };
    args.apps.iter().map(one).collect()
}

/// How much is collected before it is printed.
const CHUNK: usize = 64 << 10;

struct Printer {
    with_names: bool,
    with_times: bool,
    /// The bytes for stdout.
    collected: Vec<u8>,
}

impl Printer {
    fn print(&mut self, line: &Line) -> Result<()> {
        let mut bytes = Vec::with_capacity(line.text.len() + 1);
        if self.with_times {
            bytes.extend_from_slice(line.time.as_bytes());
            bytes.push(b' ');
        }
        if self.with_names {
            bytes.extend_from_slice(line.name.as_bytes());
            bytes.extend_from_slice(b": ");
        }
        bytes.extend_from_slice(&line.text);
        bytes.extend(line.is_whole.then_some(b'\n'));
        match line.stream {
            Stream::Out => {
                self.collected.append(&mut bytes);
                if self.collected.len() < CHUNK { Ok(()) } else { self.flush() }
            }
            Stream::Err => {
                // In the order in which it was written, where both are shown in one place.
                self.flush()?;
                // Whether a message can be written changes nothing.
                let _ = io::stderr().write_all(&bytes);
                Ok(())
            }
        }
    }

    /// Prints what was collected.
    fn flush(&mut self) -> Result<()> {
        if !self.collected.is_empty() {
            Ui.print(&self.collected)?;
            self.collected.clear();
        }
        Ok(())
    }
}

/// Parses a time span before now, or a date.
fn since(text: &str) -> Result<String, String> {
    if let Ok(span) = span(text) {
        let since = SystemTime::now().checked_sub(span).unwrap_or(SystemTime::UNIX_EPOCH);
        return Ok(pods::stamp(since));
    }
    let is_like = |c: char, like: char| if like == '0' { c.is_ascii_digit() } else { c == like };
    let shape = "0000-00-00T00:00:00";
    let date = text.strip_suffix('Z').unwrap_or(text);
    let is_date = date.len() >= 10 && date.len() <= shape.len();
    if is_date && date.chars().zip(shape.chars()).all(|(c, like)| is_like(c, like)) {
        return Ok(date.to_owned());
    }
    Err("expected a time span such as 5m, or a date of UTC such as 2026-11-29T06:00:00Z".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spans_or_dates() {
        assert_eq!(since("2026-11-29"), Ok("2026-11-29".into()));
        assert_eq!(since("2026-11-29T06:00:00Z"), Ok("2026-11-29T06:00:00".into()));
        assert!(since("5m").unwrap().ends_with('Z'));
        for bad in ["", "soon", "2026-11-29 06:00", "2026-11-29T06:00:00+01:00"] {
            assert!(since(bad).is_err(), "{bad}");
        }
    }
}
