// SPDX-License-Identifier: Apache-2.0
//! Measures what apps' stdio costs: a gigabyte through `cat` in a pod, beside the same `cat` without one, in one run.
//!
//! hyperfine takes the times (medians, and their ratio is printed); before, the pod's output is compared with its
//! input byte for byte, and its stderr is looked at apart.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::image::manifest;
use tests::pods::Gantry;
use tests::rootfs::Rootfs;

/// A thousand megabytes.
const SIZE: u64 = 1_000_000_000;
const RUNS: &str = "7";

fn main() -> Result<()> {
    let gantry = Gantry::new();
    let busybox = Rootfs::busybox()?;
    let copy = "echo aside >&2; exec cat";
    let image = gantry.image("cat", &busybox, &manifest("cat", &["/bin/sh", "-c", copy]));
    let (input, output) = (gantry.beside("input"), gantry.beside("output"));
    let mut random = File::open("/dev/urandom")?.take(SIZE);
    io::copy(&mut random, &mut File::create(&input)?).context("cannot write a gigabyte")?;

    let mut run = gantry.with_images("run", &[&image], &[]);
    let ran = run.stdin(File::open(&input)?).stdout(File::create(&output)?).stderr(Stdio::piped()).spawn()?;
    let ran = ran.wait_with_output()?;
    ensure!(ran.status.success() && ran.stderr == b"aside\n", "the pod failed: {ran:?}");
    ensure!(same(&input, &output)?, "the output differs from the input");
    gantry.wait_all();
    println!("{SIZE} bytes through a pod: identical, stderr apart");

    let plain = format!("cat {} | sh -c 'exec cat' | cat > /dev/null", input.display());
    let init = format!("cd {} && ./stage1/init 2> /dev/null", gantry.pod().display());
    let in_pod = format!("cat {} | ({init}) | cat > /dev/null", input.display());
    let report = gantry.beside("report.json");
    let mut hyperfine = Command::new("hyperfine");
    hyperfine.args(["--warmup", "1", "--runs", RUNS, "--export-json"]).arg(&report).args([&plain, &in_pod]);
    ensure!(hyperfine.status().context("hyperfine")?.success(), "hyperfine failed");
    let report: Value = serde_json::from_slice(&fs::read(&report)?)?;
    let median = |n: usize| report["results"][n]["median"].as_f64().context("no median");
    let (plain, in_pod) = (median(0)?, median(1)?);
    let start = startup(&gantry)?;
    let rate = |seconds: f64| (1000.0 / seconds).round();
    println!("cat: {plain:.3} s, {} MB/s", rate(plain));
    println!("cat in a pod: {in_pod:.3} s, {} MB/s with the pod's start and end", rate(in_pod));
    println!("a pod that copies nothing: {start:.3} s");
    println!(
        "ratio of medians: {:.2}; without start and end: {:.2}",
        in_pod / plain,
        (in_pod - start) / plain
    );
    io::stdout().flush()?;
    Ok(())
}

/// How long a pod takes that copies nothing.
fn startup(gantry: &Gantry) -> Result<f64> {
    let report = gantry.beside("startup.json");
    let command = format!("cd {} && ./stage1/init < /dev/null 2> /dev/null", gantry.pod().display());
    let mut hyperfine = Command::new("hyperfine");
    hyperfine.args(["--warmup", "1", "--runs", RUNS, "--export-json"]).arg(&report).arg(&command);
    ensure!(hyperfine.status().context("hyperfine")?.success(), "hyperfine failed");
    let report: Value = serde_json::from_slice(&fs::read(&report)?)?;
    report["results"][0]["median"].as_f64().context("no median")
}

fn same(one: &Path, other: &Path) -> Result<bool> {
    Ok(Command::new("cmp").arg(one).arg(other).status().context("cmp")?.success())
}
