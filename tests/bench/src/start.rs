// SPDX-License-Identifier: Apache-2.0
//! How starts scale: pods of many apps, many pods at once, the memory of those that wait; what a start's time is made of, and how large
//! stage1 is.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use testing::image::manifest;
use testing::pods::Gantry;
use testing::rootfs::Rootfs;

use crate::compare::{Contender, Row, Turns, compare};
use crate::images::{ENCODINGS, Image};
use crate::work::Work;

/// How many apps a pod has. The first row is what the others are compared with.
pub(crate) const APPS: [usize; 4] = [1, 10, 30, 100];

/// How much is started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    /// Turns of pods of many apps.
    pub(crate) apps: Turns,
    /// How many pods start at once.
    pub(crate) at_once: usize,
    /// How many pods wait.
    pub(crate) idle: usize,
    /// How many starts say how long their steps take.
    pub(crate) timed: usize,
}

/// The results.
#[derive(Debug)]
pub(crate) struct Start {
    /// Pods of [`APPS`] apps that end at once.
    pub(crate) apps: Vec<Row>,
    pub(crate) at_once: AtOnce,
    pub(crate) idle: Idle,
    pub(crate) steps: Vec<Step>,
    pub(crate) stage1: Stage1,
}

/// A step of a start, by `/init --timing`.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) what: String,
    /// The median, in seconds.
    pub(crate) took: f64,
}

/// Stage1's bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage1 {
    pub(crate) compressed: u64,
    pub(crate) unpacked: u64,
}

/// Pods that are started at the same time.
#[derive(Debug)]
pub(crate) struct AtOnce {
    pub(crate) pods: usize,
    /// How many of them ran to their end.
    pub(crate) ran: usize,
    /// From the first start to the last end, in seconds.
    pub(crate) all: f64,
    /// The same of one pod alone.
    pub(crate) one: f64,
}

/// Memory of pods that wait, in kilobytes of 1024 bytes, without what the app itself has.
#[derive(Debug)]
pub(crate) struct Idle {
    pub(crate) pods: usize,
    /// Each process of a pod, by its name, with its `RssAnon` and `Pss`: sums over all pods.
    pub(crate) processes: Vec<(String, Memory)>,
}

/// What a process has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Pages that are in no file (proc_pid_status(5), `RssAnon`).
    pub(crate) anonymous: u64,
    /// All pages, shared ones by their part (proc_pid_smaps(5), `Pss`).
    pub(crate) proportional: u64,
}

impl Idle {
    /// Returns what a pod has.
    pub(crate) fn each(&self) -> Memory {
        let sum = |of: fn(&Memory) -> u64| self.processes.iter().map(|(_, memory)| of(memory)).sum::<u64>();
        let pods = self.pods.max(1) as u64;
        Memory {
            anonymous: sum(|memory| memory.anonymous) / pods,
            proportional: sum(|memory| memory.proportional) / pods,
        }
    }
}

/// Measures with the image, which must be in the store.
pub(crate) fn measure(work: &Work, image: &Image, amount: Amount) -> Result<Start> {
    eprintln!("pods of many apps");
    let apps = compare(work, contenders(work, image)?, amount.apps, "rm -rf gantry/containers/*; sync")?;
    let instances = Instances::raise()?;
    let at_once = at_once(amount.at_once)?;
    let idle = idle(amount.idle)?;
    drop(instances);
    let steps = steps(work, image, amount.timed)?;
    Ok(Start { apps, at_once, idle, steps, stage1: stage1(work)? })
}

fn contenders(work: &Work, image: &Image) -> Result<Vec<Contender>> {
    let contender = |count: &usize| {
        let apps: Vec<_> = (1..=*count)
            .map(|number| json!({"name": format!("app{number}"), "image": {"id": image.id}}))
            .collect();
        let pod = json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": apps});
        let name = format!("apps-{count}.json");
        fs::write(work.join(&name), pod.to_string()).with_context(|| format!("write {name}"))?;
        let command = format!("installer --dir gantry run --pod-manifest {name}");
        Ok(Contender::new(&format!("Gantry: a pod of {count}"), command))
    };
    APPS.iter().map(contender).collect()
}

/// Starts a pod so many times, and takes the median of each step.
fn steps(work: &Work, image: &Image, starts: usize) -> Result<Vec<Step>> {
    eprintln!("steps of a start");
    work.shell(&format!("rm -rf timed; installer --dir timed image import {}", image.file(&ENCODINGS[0])))?;
    let mut all: Vec<(String, Vec<f64>)> = Vec::new();
    for _ in 0..starts {
        work.shell(&format!(
            "rm -rf timed/containers/*; installer --dir timed prepare --image {}",
            image.id
        ))?;
        let said = work.shell("cd timed/containers/* && ./stage1/init --timing 2>&1")?;
        // The first line is the table's heading.
        for (index, line) in said.lines().filter(|line| line.starts_with("timing:")).skip(1).enumerate() {
            let step = |line: &str| {
                let (took, rest) = line.strip_prefix("timing:")?.trim_start().split_once(' ')?;
                let (_, what) = rest.trim_start().split_once(' ')?;
                Some((what.to_owned(), took.parse::<f64>().ok()? / 1e3))
            };
            let (what, took) = step(line).with_context(|| format!("not a step: {line}"))?;
            match all.get_mut(index) {
                Some((known, times)) => {
                    ensure!(*known == what, "steps in another order: {known} before {what}");
                    times.push(took);
                }
                None => all.push((what, vec![took])),
            }
        }
    }
    work.shell("rm -rf timed")?;
    ensure!(!all.is_empty(), "a start has said nothing of its steps");
    let median = |(what, mut times): (String, Vec<f64>)| {
        times.sort_by(f64::total_cmp);
        Step { what, took: times[times.len() / 2] }
    };
    Ok(all.into_iter().map(median).collect())
}

fn stage1(work: &Work) -> Result<Stage1> {
    let size = |line: &str| -> Result<u64> { Ok(work.shell(line)?.parse()?) };
    let compressed = size("stat -c %s \"$GANTRY_STAGE1\"")?;
    let unpack = "mkdir unpacked; tar -xJf \"$GANTRY_STAGE1\" -C unpacked; du -s -B1 unpacked | cut -f1; rm -rf unpacked";
    Ok(Stage1 { compressed, unpacked: size(unpack)? })
}

fn at_once(pods: usize) -> Result<AtOnce> {
    eprintln!("{pods} pods at once");
    let gantry = Gantry::new();
    let image = gantry.image("one", &Rootfs::busybox()?, &manifest("one", &["/bin/true"]));
    let run = |count: usize| -> Result<(usize, f64)> {
        let begun = Instant::now();
        let start = |_| {
            let mut run = gantry.with_images("run", &[&image], &[]);
            run.stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .context("cannot run the installer")
        };
        let children: Vec<Child> = (0..count).map(start).collect::<Result<_>>()?;
        let mut ran = 0;
        for mut child in children {
            ran += usize::from(child.wait().context("cannot wait for the installer")?.success());
        }
        Ok((ran, begun.elapsed().as_secs_f64()))
    };
    // The first one unpacks what all have.
    ensure!(run(1)?.0 == 1, "a pod failed");
    let mut alone: Vec<f64> = (0..5).map(|_| Ok(run(1)?.1)).collect::<Result<_>>()?;
    alone.sort_by(f64::total_cmp);
    let (ran, all) = run(pods)?;
    gantry.wait_all();
    Ok(AtOnce { pods, ran, all, one: alone[alone.len() / 2] })
}

fn idle(pods: usize) -> Result<Idle> {
    eprintln!("{pods} pods that wait");
    let gantry = Gantry::new();
    let app = manifest("waits", &["/bin/sh", "-c", "echo up; exec sleep 100000"]);
    let image = gantry.image("waits", &Rootfs::busybox()?, &app);
    let start = |_| -> Result<Child> {
        let mut run = gantry.with_images("run", &[&image], &[]);
        let mut child = run
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run the installer")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no pipe")?).read_line(&mut line)?;
        ensure!(line == "up\n", "a pod that was to wait has not started");
        Ok(child)
    };
    let children: Vec<Child> = (0..pods).map(start).collect::<Result<_>>()?;
    let directory = gantry.dir().join("containers");
    let processes = processes(&children, &directory)?;
    for mut child in children {
        kill(Pid::from_raw(child.id().try_into()?), Signal::SIGTERM).context("cannot stop a pod")?;
        child.wait().context("cannot wait for a pod")?;
    }
    gantry.wait_all();
    Ok(Idle { pods, processes })
}

/// Returns the processes of pods, by their names, but for the apps: the children, and all that descend from them.
fn processes(children: &[Child], directory: &Path) -> Result<Vec<(String, Memory)>> {
    let pods = fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))?;
    let ids: Vec<String> = pods.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let mut found: Vec<(String, Memory)> = Vec::new();
    for entry in fs::read_dir("/proc").context("read /proc")?.flatten() {
        let path = entry.path();
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
        let is_child =
            || children.iter().any(|child| entry.file_name().to_str() == Some(&child.id().to_string()));
        let cgroup = read("cgroup");
        let is_pods = is_child() || ids.iter().any(|id| cgroup.contains(id.as_str()) || stays_in(&path, id));
        let name = read("comm").trim_end().to_owned();
        // The app.
        if !is_pods || name == "sleep" || name == "busybox" {
            continue;
        }
        let kilobytes = |text: &str, field: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_suffix(" kB"));
            line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
        };
        let memory = Memory {
            anonymous: kilobytes(&read("status"), "RssAnon:"),
            proportional: kilobytes(&read("smaps_rollup"), "Pss:"),
        };
        match found.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => {
                sum.anonymous += memory.anonymous;
                sum.proportional += memory.proportional;
            }
            None => found.push((name, memory)),
        }
    }
    found.sort_by_key(|(_, memory)| std::cmp::Reverse(memory.anonymous));
    Ok(found)
}

/// Tells whether a process is in the pod's directory, or has it open.
fn stays_in(process: &Path, id: &str) -> bool {
    let leads = |link: &Path| fs::read_link(link).is_ok_and(|to| to.to_string_lossy().contains(id));
    let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    leads(&process.join("cwd")) || open.into_iter().any(|entry| leads(&entry.path()))
}

/// More inotify instances than the host allows by default, as long as this exists.
struct Instances {
    before: String,
}

impl Instances {
    const LIMIT: &str = "/proc/sys/fs/inotify/max_user_instances";

    fn raise() -> Result<Self> {
        let before = fs::read_to_string(Self::LIMIT).context(Self::LIMIT)?;
        let number: u32 = before.trim().parse().context(Self::LIMIT)?;
        fs::write(Self::LIMIT, number.max(1024).to_string()).context(Self::LIMIT)?;
        Ok(Self { before })
    }
}

impl Drop for Instances {
    fn drop(&mut self) {
        if let Err(error) = fs::write(Self::LIMIT, &self.before) {
            eprintln!("warning: {} isn't what it was: {error}", Self::LIMIT);
        }
    }
}
