// SPDX-License-Identifier: Apache-2.0
//! The machine that was measured on, and the programs that were measured.

use std::fs;

use anyhow::Result;
use rustix::system::uname;

use crate::work::Work;

/// The programs whose versions are listed, and the commands that print them.
const PROGRAMS: &[(&str, &str)] = &[
    ("Gantry", "git -C \"$REPOSITORY\" describe --always --dirty --abbrev=8"),
    ("hyperfine", "hyperfine --version"),
    ("tar", "tar --version"),
    ("gzip", "gzip --version"),
    ("xz", "xz --version"),
    ("zstd", "zstd --version | sed 's/.* v/zstd /; s/,.*//'"),
    ("podman", "podman --version"),
    ("umoci", "umoci --version"),
    ("skopeo", "skopeo --version"),
    ("runc", "runc --version"),
    ("crun", "crun --version"),
    ("systemd-nspawn", "systemd-nspawn --version"),
];

/// Returns the rows of the table about the machine: names and values.
pub(crate) fn facts(work: &Work) -> Result<Vec<(&'static str, String)>> {
    let kernel = uname();
    let cores = std::thread::available_parallelism()?;
    Ok(vec![
        ("date", work.shell("date -u +%F")?),
        ("kernel", format!("{} {}", kernel.release().to_string_lossy(), kernel.machine().to_string_lossy())),
        ("distribution", work.shell(". /etc/os-release; echo \"$PRETTY_NAME\"")?),
        ("CPU", format!("{}, {cores} cores", value("/proc/cpuinfo", "model name").unwrap_or_default())),
        ("memory", value("/proc/meminfo", "MemTotal").unwrap_or_default()),
        ("file system", work.shell("findmnt -no SOURCE,FSTYPE,OPTIONS --target . | tr -s ' '")?),
        ("load when it began", work.shell("cut -d' ' -f1-3 /proc/loadavg")?),
    ])
}

/// Returns the programs' versions.
pub(crate) fn versions(work: &Work) -> Vec<(&'static str, String)> {
    let repository = testing::repository().display();
    let version = |line: &str| {
        let line = format!("REPOSITORY='{repository}'; {line}");
        work.shell(&line).ok().and_then(|text| text.lines().next().map(str::to_owned))
    };
    PROGRAMS
        .iter()
        .map(|(name, line)| (*name, version(line).unwrap_or_else(|| "not installed".into())))
        .collect()
}

fn value(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let (_, value) =
        text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == name)?;
    Some(value.trim().to_owned())
}
