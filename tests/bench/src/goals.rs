// SPDX-License-Identifier: Apache-2.0
//! The goals, and whether they were reached.

use crate::cold::{self, Cold};
use crate::compare::Row;
use crate::memory::Peaks;
use crate::oci::{self, Oci};
use crate::start::{AtOnce, Stage1, Start};
use crate::unit::{mebibytes, seconds};
use crate::warm::{self, Warm};
use crate::whole;

/// A goal: an upper limit of a measured value.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    pub(crate) what: String,
    /// The limit as text.
    pub(crate) limit: String,
    /// The measured value as text.
    pub(crate) measured: String,
    /// Whether it was reached; `None` if it can't be told here.
    pub(crate) met: Option<bool>,
}

/// Returns the median, or why there is none.
pub(crate) fn median(row: &Row) -> Result<f64, &str> {
    row.times.as_ref().map(crate::compare::Times::median).map_err(String::as_str)
}

/// Goals of cold prepares: at most a part of tar's time.
pub(crate) fn of_cold(cold: &[Cold]) -> Vec<Goal> {
    let limited = cold.iter().filter_map(|cold| {
        let limit = match cold.encoding.suffix {
            ".gz" => 0.6,
            "" => return None,
            _ => 0.8,
        };
        Some((cold, limit))
    });
    limited
        .flat_map(|(cold, limit)| {
            let whole = format!("`{}` and `sync -f`", cold.encoding.tar);
            let known = match cold.encoding.suffix {
                ".gz" => 0.4,
                ".zst" => 0.6,
                _ => limit,
            };
            let ways = [(cold::OURS, "", limit), (cold::STAGE1_KNOWN, ", stage1 known", known)];
            ways.map(|(ours, how, limit)| {
                let what = format!("cold prepare, {}{how}", cold.encoding.name);
                relative(what, limit, &whole, &cold.rows[ours], &cold.rows[cold::TAR])
            })
        })
        .collect()
}

/// Goals of an OCI image that is new: at most a part of what others take.
pub(crate) fn of_oci(Oci { pull, archive }: &Oci) -> Vec<Goal> {
    let goal = |what: &str, limit, whole: &str, rows: &[Row], of: usize| {
        relative(format!("cold prepare of 6 layers, {what}"), limit, whole, &rows[oci::OURS], &rows[of])
    };
    vec![
        goal("from a registry", 0.4, "`podman pull`", pull, oci::PULL),
        goal("from a registry", 0.5, "`skopeo copy` and `umoci unpack`", pull, oci::SKOPEO),
        goal("from an archive", 0.4, "`podman load`", archive, oci::LOAD),
    ]
}

/// Goals of warm prepares. The image measured first is the large one.
pub(crate) fn of_warm(warm: &Warm, names: &[&str]) -> Vec<Goal> {
    let mut goals = Vec::new();
    let large = &warm.rows[0];
    for (index, how) in [(warm::BY_ID, "by id"), (warm::BY_FILE, "by FILE@digest")] {
        let what = format!("warm prepare, {}, {how}", names[0]);
        let ours = &large[index];
        goals.push(relative(what.clone(), 0.06, "`podman create`", ours, &large[warm::PODMAN]));
        if let Some(small) = warm.rows.get(1) {
            goals.push(relative(what, 1.1, &format!("that of {}", names[1]), ours, &small[index]));
        }
    }
    let (what, limit) = ("disk per warm pod", "≤ 1 MB".into());
    let bytes = warm.disk.iter().map(|disk| disk.pod).fold(0.0, f64::max);
    let measured = format!("{:.3} MB", bytes / 1e6);
    goals.push(Goal { what: what.into(), limit, measured, met: Some(bytes <= 1e6) });
    goals
}

/// Goals of whole runs.
pub(crate) fn of_whole(rows: &[Row]) -> Vec<Goal> {
    let (run, port) = ("whole run of `true`", "whole run of `true`, with a published port");
    let goal = |what: &str, limit, whole: &str, ours: usize, of: usize| {
        relative(what.to_owned(), limit, whole, &rows[ours], &rows[of])
    };
    vec![
        goal(run, 0.85, "bare systemd-nspawn", whole::OURS, whole::NSPAWN),
        goal(run, 0.3, "`podman run` with runc", whole::OURS, whole::PODMAN_RUNC),
        goal(run, 1.15, "that with --net=none", whole::OURS, whole::WITHOUT_NETWORK),
        goal(port, 1.0, "bare systemd-nspawn", whole::PUBLISHED, whole::NSPAWN),
    ]
}

/// Goals of many apps and many pods, and of stage1.
pub(crate) fn of_start(start: &Start) -> Vec<Goal> {
    let (one, most) = (&start.apps[0], &start.apps[start.apps.len() - 1]);
    let AtOnce { pods, ran, all, one: alone } = start.at_once;
    let memory = start.idle.each();
    let Stage1 { compressed, unpacked } = start.stage1;
    let of_size = |what: &str, limit: u64, is: u64| {
        let megabytes = |bytes: u64| format!("{}.{:02} MB", bytes / 1_000_000, bytes % 1_000_000 / 10_000);
        let limit_shown = format!("≤ {}", megabytes(limit));
        Goal { what: what.into(), limit: limit_shown, measured: megabytes(is), met: Some(is <= limit) }
    };
    let of_memory = |what: &str, limit: u64, is: u64| Goal {
        what: format!("{what} of each of {} pods that wait", start.idle.pods),
        limit: format!("≤ {}", mebibytes(limit)),
        measured: mebibytes(is),
        met: Some(is <= limit),
    };
    vec![
        relative("a pod of 100 apps".into(), 14.0, "that of one", most, one),
        Goal {
            what: format!("{pods} pods at once"),
            limit: format!("{pods} run"),
            measured: ran.to_string(),
            met: Some(ran == pods),
        },
        Goal {
            what: format!("{pods} pods at once"),
            limit: "≤ 20 × one".into(),
            measured: format!("{:.1} ({} of {})", all / alone, seconds(all), seconds(alone)),
            met: Some(all <= 20.0 * alone),
        },
        of_memory("RssAnon", 1639, memory.anonymous),
        of_memory("PSS", 2048, memory.proportional),
        of_size("stage1, compressed", 5_000_000, compressed),
        of_size("stage1, unpacked", 16_000_000, unpacked),
    ]
}

/// Goals of memory, for each process of a cold prepare.
pub(crate) fn of_memory(peaks: &[Peaks]) -> Vec<Goal> {
    let most = peaks.iter().map(|peaks| peaks.worker.max(peaks.installer)).max();
    let goal = most.map(|most| Goal {
        what: "memory of each process of a cold prepare".into(),
        limit: "≤ 64 MiB".into(),
        measured: mebibytes(most),
        met: Some(most <= 64 * 1024),
    });
    goal.into_iter().collect()
}

fn relative(what: String, limit: f64, whole: &str, part: &Row, of: &Row) -> Goal {
    let (measured, met) = match (median(part), median(of)) {
        (Ok(part), Ok(of)) => {
            let ratio = part / of;
            let digits = if ratio < 0.2 { 3 } else { 2 };
            (format!("{ratio:.digits$} ({} of {})", seconds(part), seconds(of)), Some(ratio <= limit))
        }
        (Err(reason), _) | (_, Err(reason)) => (reason.to_owned(), None),
    };
    Goal { what, limit: format!("≤ {limit} × {whole}"), measured, met }
}
