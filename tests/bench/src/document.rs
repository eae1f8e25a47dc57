// SPDX-License-Identifier: Apache-2.0
//! What is written to `docs/benchmarks`: every number, and how it was measured.

use crate::chart::{Panel, draw};
use crate::cold::Cold;
use crate::compare::Row;
use crate::engines;
use crate::goals::{Goal, median};
use crate::memory::Peaks;
use crate::oci::Oci;
use crate::report::Report;
use crate::results::Results;
use crate::start::{AtOnce, Idle, Start};
use crate::stdio;
use crate::unit::seconds;
use crate::warm::Warm;

const HEAD: &str = "\
<!-- Written by `make bench`. -->
# Results

[How it is measured](README.md). Times are medians; a ratio is that of two medians of this run.

![the same as bars](results.svg)";

const COLD: &str = "\
## Cold prepare

From an archive to a tree that is on disk. Gantry's directory is empty before: its time has stage1's extraction in it,
the pod, all digests, the record of every object, and durability; with stage1 known, the store has it already, as on a
machine that has pods. The ratio is to tar.";

const MEMORY: &str = "\
## Memory of a cold prepare

Peaks of resident memory. Gantry unpacks stage1 and the image in a process each; the sum of all three's peaks is more
than they ever have at a time. Of the others, the largest process is given.";

const OCI: &str = "\
## An OCI image of 6 layers

From a registry on loopback, or from an archive, to a tree on disk. Gantry's directory is empty before, as for every cold prepare.
The ratio is to podman.";

const WARM: &str = "\
## Warm prepare

Content that is known: a pod of it, complete and on disk, beside a container of it. The ratio is to `podman create`.";

const WHOLE: &str = "\
## A whole run of `true`

From the command to its exit code. Gantry boots a systemd that supervises the app; the others execute the program as it
is. The ratio is to Gantry.";

const APPS: &str = "\
## Many apps, many pods

Whole runs of pods of many apps, each of which is `true`. The ratio is to one app.";

const STEPS: &str = "\
## Steps of a start and an end

By `/init --timing` of a prepared pod of one `true`: medians of what each step took. What isn't Gantry's is in the step after it: nspawn in
the boot program's begin, systemd in the launcher's and in the status writer's, the kernel in all.";

const STDIO: &str = "\
## Stdio

Bytes through `cat`, in a pod and without one; the pod's time has its start and end in it. The ratio is to plain
`cat`.";

const THROUGHPUT: &str = "\
## Throughput

One stream of TCP, in network namespaces of its own: a host, and a neighbour outside on a veth. Medians of gigabits per
second, with the slowest and the fastest turn.";

const CALLS: &str = "\
## How everybody was called

In one directory, with these files of podman's and skopeo's, where `WORK` is that directory.";

/// Returns the document.
pub(crate) fn text(results: &Results, goals: &[Goal]) -> String {
    let mut report = Report::default();
    report.text(HEAD);
    report.goals(goals);
    report.text("## The machine");
    report.facts(["", ""], &results.machine);
    report.facts(["program", "version"], &results.versions);
    let images = results.images.iter().map(|image| (image.name, image.shown.clone()));
    report.facts(["image", "size"], &images.collect::<Vec<_>>());
    cold(&mut report, &results.cold, &results.memory);
    oci(&mut report, &results.oci);
    warm(&mut report, &results.warm, &results.names());
    start(&mut report, &results.whole, &results.start);
    stdio(&mut report, &results.stdio);
    report.text(THROUGHPUT);
    report.ways(&results.throughput);
    calls(&mut report, results);
    report.finish()
}

/// Adds cold prepares.
pub(crate) fn cold(report: &mut Report, all: &[Cold], peaks: &[Peaks]) {
    report.text(COLD);
    for cold in all {
        report.text(&format!("### {}", cold.encoding.name));
        report.rows(&cold.rows, 1);
    }
    report.text(MEMORY);
    report.memory(peaks);
}

/// Adds pulls and archives of an OCI image.
pub(crate) fn oci(report: &mut Report, oci: &Oci) {
    report.text(OCI);
    report.rows(&oci.pull, crate::oci::PULL);
    report.rows(&oci.archive, crate::oci::LOAD);
}

/// Adds warm prepares of images, by their names.
pub(crate) fn warm(report: &mut Report, warm: &Warm, names: &[&str]) {
    report.text(WARM);
    for rows in &warm.rows {
        report.rows(rows, crate::warm::PODMAN);
    }
    report.text("## Disk\n\nBytes that one more takes; files with several names count once.");
    report.disk(names, &warm.disk);
}

/// Adds whole runs, many apps, many pods, and what a start is made of.
pub(crate) fn start(report: &mut Report, whole: &[Row], start: &Start) {
    report.text(WHOLE);
    report.rows(whole, 0);
    report.text(APPS);
    report.rows(&start.apps, 0);
    let AtOnce { pods, ran, all, one } = start.at_once;
    report.text(&format!(
        "{pods} pods started at once: {ran} ran, all in {}; one alone takes {}.",
        seconds(all),
        seconds(one)
    ));
    let Idle { pods, .. } = start.idle;
    report.text(&format!("Memory of each of {pods} pods that wait, without the app:"));
    report.idle(&start.idle);
    report.text(STEPS);
    report.steps(&start.steps);
}

/// Adds stdio.
pub(crate) fn stdio(report: &mut Report, rows: &[Row]) {
    report.text(STDIO);
    report.rows(rows, stdio::PLAIN);
    report.text(&without_start(rows));
}

fn calls(report: &mut Report, results: &Results) {
    report.text(CALLS);
    report.text(&engines::shown());
    report.calls(results.cold.iter().flat_map(|cold| &cold.rows));
    report.calls(results.oci.pull.iter().chain(&results.oci.archive));
    report.calls(results.warm.rows.iter().flatten());
    report.calls(results.whole.iter().chain(&results.start.apps).chain(&results.stdio));
}

fn without_start(rows: &[Row]) -> String {
    let of = |index: usize| median(&rows[index]);
    match (of(stdio::PLAIN), of(stdio::IN_POD), of(stdio::NOTHING)) {
        (Ok(plain), Ok(in_pod), Ok(nothing)) => {
            let net = in_pod - nothing;
            format!(
                "Without start and end, the pod takes {}: {:.2} of plain `cat`.",
                seconds(net),
                net / plain
            )
        }
        _ => String::new(),
    }
}

/// Returns the picture.
pub(crate) fn picture(results: &Results) -> String {
    let large = results.images[0].name;
    let mut panels: Vec<_> = results
        .cold
        .iter()
        .map(|cold| Panel {
            title: format!("Cold: {large}, {}, to a tree on disk", cold.encoding.name),
            rows: cold.rows.iter().collect(),
        })
        .collect();
    for (from, rows) in [("a registry", &results.oci.pull), ("an archive", &results.oci.archive)] {
        let title = format!("Cold: {large} in 6 layers, from {from}, to a tree on disk");
        panels.push(Panel { title, rows: rows.iter().collect() });
    }
    panels.push(Panel {
        title: "Warm: one more pod, or container".into(),
        rows: results.warm.rows.iter().flatten().collect(),
    });
    panels.push(Panel { title: "A whole run of true".into(), rows: results.whole.iter().collect() });
    draw(&panels)
}
