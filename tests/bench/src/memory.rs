// SPDX-License-Identifier: Apache-2.0
//! Peak memory of cold prepares: of each process, and of the other programs.
//!
//! A process's peak is the kernel's own high-water mark (VmHWM, proc_pid_status(5)). It never falls, so frequent
//! reading finds all of it, except for what a process takes in its last few milliseconds.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::images::{ENCODINGS, Encoding, Image};
use crate::work::Work;

const LOOK: Duration = Duration::from_millis(2);

/// Peaks for one encoding, in kilobytes of 1024 bytes.
#[derive(Debug)]
pub(crate) struct Peaks {
    pub(crate) encoding: &'static Encoding,
    pub(crate) installer: u64,
    /// The larger of the workers of stage1 and of the image.
    pub(crate) worker: u64,
    /// The sum of the peaks of all of Gantry's processes.
    pub(crate) all: u64,
    /// The largest process of each other program, by name, or why it is not known.
    pub(crate) others: Vec<(&'static str, Result<u64, String>)>,
}

/// Measures every encoding of the image.
pub(crate) fn measure(work: &Work, image: &Image) -> Result<Vec<Peaks>> {
    eprintln!("memory");
    ENCODINGS
        .iter()
        .map(|encoding| {
            let file = image.file(encoding);
            let (installer, workers) = of_installer(work, &file)?;
            let tar = format!("rm -rf tree; mkdir tree; {} {file} -C tree", encoding.tar);
            let podman = format!("podman rmi -af >/dev/null; podman import -q {file} cold >/dev/null");
            let peaks = Peaks {
                encoding,
                installer,
                worker: workers.values().copied().max().unwrap_or_default(),
                all: installer + workers.values().sum::<u64>(),
                others: vec![("tar", largest(work, &tar)), ("podman import", largest(work, &podman))],
            };
            work.shell("rm -rf tree gantry")?;
            Ok(peaks)
        })
        .collect()
}

fn of_installer(work: &Work, file: &str) -> Result<(u64, BTreeMap<u32, u64>)> {
    work.shell("rm -rf gantry; sync")?;
    let mut command = work.command("installer");
    command.args(["--dir", "gantry", "prepare", "--image", file]).stdout(Stdio::null());
    let mut child = command.spawn().context("cannot run the installer")?;
    let (mut installer, mut workers) = (0, BTreeMap::new());
    let status = loop {
        installer = high_water(child.id()).unwrap_or(0).max(installer);
        for worker in children(child.id()) {
            let peak = workers.entry(worker).or_default();
            *peak = high_water(worker).unwrap_or(0).max(*peak);
        }
        if let Some(status) = child.try_wait().context("cannot wait for the installer")? {
            break status;
        }
        thread::sleep(LOOK);
    };
    ensure!(status.success(), "the installer failed on {file}");
    ensure!(!workers.is_empty(), "the installer started no worker for {file}");
    Ok((installer, workers))
}

/// Returns a process's high-water mark; `None` if it is gone.
fn high_water(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
}

fn children(id: u32) -> Vec<u32> {
    let tasks = fs::read_dir(Path::new("/proc").join(id.to_string()).join("task"));
    let lists = tasks.into_iter().flatten().flatten();
    let lists = lists.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Returns the largest process of a line of shell, as the kernel tells GNU time.
fn largest(work: &Work, line: &str) -> Result<u64, String> {
    let timed = format!("time -f %M -o peak sh -e -c '{line}'; cat peak");
    let printed = work.shell(&format!("command {timed}")).map_err(|error| format!("{error:#}"))?;
    printed.parse().map_err(|_| format!("time printed {printed}"))
}
