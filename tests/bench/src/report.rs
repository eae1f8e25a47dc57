// SPDX-License-Identifier: Apache-2.0
//! Results as Markdown.

use std::fmt::Write as _;

use crate::compare::Row;
use crate::goals::{Goal, median};
use crate::memory::Peaks;
use crate::start::{Idle, Memory, Step};
use crate::throughput::Way;
use crate::unit::{mebibytes, seconds};
use crate::warm::Disk;
use crate::work;

/// A document that is written from its beginning to its end.
#[derive(Debug, Default)]
pub(crate) struct Report(String);

impl Report {
    /// Adds a paragraph, or any other Markdown.
    pub(crate) fn text(&mut self, text: &str) {
        self.0.push_str(text.trim_end());
        self.0.push_str("\n\n");
    }

    /// Adds a table of names and values.
    pub(crate) fn facts(&mut self, heading: [&str; 2], facts: &[(&str, String)]) {
        self.table(&heading, facts.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]));
    }

    pub(crate) fn goals(&mut self, goals: &[Goal]) {
        let row = |goal: &Goal| {
            let met = match goal.met {
                Some(true) => "met",
                Some(false) => "**not met**",
                None => "not available here",
            };
            vec![goal.what.clone(), goal.limit.clone(), goal.measured.clone(), met.to_owned()]
        };
        self.table(&["goal", "limit", "measured", ""], goals.iter().map(row));
    }

    /// Adds medians, and their ratios to that of the row `base`. A contender that can't run says why.
    pub(crate) fn rows(&mut self, rows: &[Row], base: usize) {
        let base = rows.get(base).and_then(|row| median(row).ok());
        let row = |row: &Row| match &row.times {
            Ok(times) => {
                let ratio = base.map(|base| format!("{:.2}", times.median() / base));
                let spread = format!("{} – {}", seconds(times.shortest()), seconds(times.longest()));
                let median = seconds(times.median());
                vec![row.name.clone(), median, ratio.unwrap_or_default(), spread, times.count().to_string()]
            }
            Err(reason) => vec![row.name.clone(), format!("not available here: {reason}")],
        };
        self.table(&["", "median", "ratio", "shortest – longest", "runs"], rows.iter().map(row));
    }

    pub(crate) fn memory(&mut self, peaks: &[Peaks]) {
        let row = |peaks: &Peaks| {
            let mut row = vec![peaks.encoding.name.to_owned()];
            row.extend([peaks.installer, peaks.worker, peaks.all].map(mebibytes));
            let others = peaks.others.iter();
            row.extend(others.map(|(_, peak)| peak.as_ref().map_or("–".into(), |peak| mebibytes(*peak))));
            row
        };
        let head = ["", "installer", "larger worker", "all, summed", "tar and its decoder", "podman import"];
        self.table(&head, peaks.iter().map(row));
    }

    /// Adds the memory of pods that wait: of each process, and of a whole pod.
    pub(crate) fn idle(&mut self, idle: &Idle) {
        let pods = idle.pods.max(1) as u64;
        let row = |name: &str, memory: Memory| {
            vec![name.to_owned(), mebibytes(memory.anonymous), mebibytes(memory.proportional)]
        };
        let each = |memory: &Memory| Memory {
            anonymous: memory.anonymous / pods,
            proportional: memory.proportional / pods,
        };
        let processes = idle.processes.iter().map(|(name, memory)| row(name, each(memory)));
        self.table(&["", "RssAnon", "PSS"], processes.chain([row("a pod", idle.each())]));
    }

    /// Adds the steps of a start, with their sum.
    pub(crate) fn steps(&mut self, steps: &[Step]) {
        let mut at = 0.0;
        let row = |step: &Step| {
            at += step.took;
            vec![step.what.clone(), seconds(step.took), seconds(at)]
        };
        let rows: Vec<_> = steps.iter().map(row).collect();
        self.table(&["by then", "took", "sum"], rows.into_iter());
    }

    pub(crate) fn disk(&mut self, names: &[&str], disk: &[Disk]) {
        let kilobytes = |bytes: f64| format!("{:.1} kB", bytes / 1e3);
        let row = |(name, disk): (&&str, &Disk)| {
            let podman = disk
                .podman
                .as_ref()
                .map_or_else(|reason| format!("not available here: {reason}"), |bytes| kilobytes(*bytes));
            vec![(*name).to_owned(), kilobytes(disk.pod), kilobytes(disk.pod_that_ran), podman]
        };
        let head = ["image", "a pod", "a pod that ran", "`podman create`"];
        self.table(&head, names.iter().zip(disk).map(row));
    }

    /// Adds the speeds of streams, and how they were measured.
    pub(crate) fn ways(&mut self, ways: &[Way]) {
        let row = |way: &Way| {
            let mut row = vec![way.name.to_owned()];
            match (way.median(), way.speeds.as_deref()) {
                (Ok(median), Ok([slowest, .., fastest])) => {
                    row.extend([format!("{median:.1}"), format!("{slowest:.1} – {fastest:.1}")]);
                }
                (Ok(median), _) => row.extend([format!("{median:.1}"), String::new()]),
                (Err(reason), _) => row.extend([format!("not available here: {reason}"), String::new()]),
            }
            row.push(format!("`{}`", way.command));
            row
        };
        self.table(&["", "Gb/s", "slowest – fastest", "command"], ways.iter().map(row));
    }

    /// Adds the commands of all contenders.
    pub(crate) fn calls<'a>(&mut self, rows: impl Iterator<Item = &'a Row>) {
        for Row { name, before, command, .. } in rows {
            let before = before
                .as_ref()
                .map_or(String::new(), |before| format!(" (before, not measured: `{before}`)"));
            // Cannot fail: the writer is a string.
            let _ = writeln!(self.0, "- {name}: `{command}`{before}");
        }
        self.0.push('\n');
    }

    fn table(&mut self, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
        self.line(head.iter().map(|cell| (*cell).to_owned()).collect());
        self.line(vec!["---".to_owned(); head.len()]);
        for mut row in rows {
            row.resize(head.len(), String::new());
            self.line(row);
        }
        self.0.push('\n');
    }

    fn line(&mut self, cells: Vec<String>) {
        let cells: Vec<_> = cells.into_iter().map(|cell| cell.replace('|', "\\|")).collect();
        self.0.push_str(&format!("| {} |\n", cells.join(" | ")));
    }

    /// Returns the text. Commands are shown without the path of this machine's directory.
    pub(crate) fn finish(self) -> String {
        let directory = work::directory();
        self.0.trim_end().replace(&*directory.to_string_lossy(), "WORK") + "\n"
    }
}
