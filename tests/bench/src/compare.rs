// SPDX-License-Identifier: Apache-2.0
//! Compares contenders side by side: they take turns, and hyperfine takes the times.
//!
//! Invariant: every contender of a comparison runs once (or a few times in a row, if a run takes milliseconds) before
//! any runs again, so that whatever the machine does meanwhile affects all of them. A contender that can't run here is
//! not left out silently: it says why. Gantry must be able to run.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::unit::seconds;
use crate::work::Work;

/// The beginning of Gantry's contenders' names.
pub(crate) const OURS: &str = "Gantry";

/// One way to do something.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    /// Its name for a reader.
    pub(crate) name: String,
    /// A line of shell that runs before every run and is not measured.
    pub(crate) before: Option<String>,
    /// The measured command: a program and its arguments, quoted for a shell.
    pub(crate) command: String,
}

/// A contender and its result.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) before: Option<String>,
    pub(crate) command: String,
    /// Its times, or why there are none.
    pub(crate) times: Result<Times, String>,
}

/// Seconds of each run, ascending; at least one.
#[derive(Debug)]
pub(crate) struct Times(Vec<f64>);

/// How often contenders run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turns {
    /// The number of each contender's turns.
    pub(crate) rounds: usize,
    /// The number of runs in a turn.
    pub(crate) runs: usize,
}

/// What hyperfine exports.
#[derive(Debug, Deserialize)]
struct Export {
    results: Vec<Exported>,
}

#[derive(Debug, Deserialize)]
struct Exported {
    times: Vec<f64>,
}

impl Contender {
    pub(crate) fn new(name: &str, command: impl Into<String>) -> Self {
        Self { name: name.into(), before: None, command: command.into() }
    }

    fn is_ours(&self) -> bool {
        self.name.starts_with(OURS)
    }

    /// Adds what is done before every run.
    #[must_use]
    pub(crate) fn after(mut self, before: impl Into<String>) -> Self {
        self.before = Some(before.into());
        self
    }
}

impl Times {
    fn of(mut times: Vec<f64>) -> Result<Self> {
        times.sort_by(f64::total_cmp);
        if times.is_empty() {
            bail!("hyperfine has no times");
        }
        Ok(Self(times))
    }

    /// Returns the middle time, or the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        f64::midpoint(self.0[(self.0.len() - 1) / 2], self.0[self.0.len() / 2])
    }

    pub(crate) fn shortest(&self) -> f64 {
        self.0[0]
    }

    pub(crate) fn longest(&self) -> f64 {
        self.0[self.0.len() - 1]
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// Lets the contenders take turns. Each has run once before, which shows whether it can, and brings what it reads into
/// the page cache. `between` cleans up after every round.
pub(crate) fn compare(
    work: &Work,
    contenders: Vec<Contender>,
    turns: Turns,
    between: &str,
) -> Result<Vec<Row>> {
    let reasons: Vec<_> = contenders.iter().map(|one| unable(work, one)).collect::<Result<_>>()?;
    let able = contenders.iter().enumerate().filter(|(index, _)| reasons[*index].is_none());
    let mut able: Vec<_> = able.collect();
    ensure!(!able.is_empty(), "nobody can do it here");
    let mut times = vec![Vec::new(); contenders.len()];
    for round in 1..=turns.rounds {
        work.shell(between)?;
        eprintln!("  round {round} of {}: {} contenders", turns.rounds, able.len());
        for ((index, _), new) in able.iter().zip(hyperfine(work, &able, turns.runs)?) {
            times[*index].extend(new);
        }
        // Another contender is the first next time, so that what happens between rounds disturbs none in particular.
        able.rotate_left(1);
    }
    work.shell(between)?;
    let row = |((contender, reason), times): ((Contender, Option<String>), Vec<f64>)| {
        let Contender { name, before, command } = contender;
        let times = match reason {
            Some(reason) => Err(reason),
            None => Ok(Times::of(times)?),
        };
        if let Ok(times) = &times {
            eprintln!("  {name}: {}", seconds(times.median()));
        }
        Ok(Row { name, before, command, times })
    };
    contenders.into_iter().zip(reasons).zip(times).map(row).collect()
}

/// Returns why a contender can't run here, if it can't.
fn unable(work: &Work, contender: &Contender) -> Result<Option<String>> {
    let once = format!("{}\n{}", contender.before.as_deref().unwrap_or(":"), contender.command);
    let reason = work.failure(&once)?;
    match &reason {
        Some(reason) if contender.is_ours() => bail!("{}: {reason}", contender.command),
        Some(reason) => eprintln!("  {} is not available here: {reason}", contender.name),
        None => {}
    }
    Ok(reason)
}

/// Runs one round, in this order.
fn hyperfine(work: &Work, contenders: &[(usize, &Contender)], runs: usize) -> Result<Vec<Vec<f64>>> {
    let mut command = work.command("hyperfine");
    command.args(["--shell=none", "--style=basic", "--export-json=round.json", "--runs", &runs.to_string()]);
    if contenders.iter().any(|(_, contender)| contender.before.is_some()) {
        for (_, contender) in contenders {
            let before = contender.before.as_deref().unwrap_or(":");
            command.arg("--prepare").arg(in_shell(before));
        }
    }
    command.arg("--").args(contenders.iter().map(|(_, contender)| &contender.command));
    let output = command.output().context("cannot run hyperfine")?;
    if !output.status.success() {
        bail!("hyperfine: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let export = fs::read(work.join("round.json")).context("read what hyperfine exported")?;
    let export: Export = serde_json::from_slice(&export).context("read what hyperfine exported")?;
    Ok(export.results.into_iter().map(|result| result.times).collect())
}

/// Returns a program and its arguments that run a line of shell.
pub(crate) fn in_shell(line: &str) -> String {
    format!("sh -c '{}'", line.replace('\'', r"'\''"))
}
