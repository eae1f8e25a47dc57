// SPDX-License-Identifier: Apache-2.0
//! `make bench`: measures Gantry and other programs that do the same, in one run.
//!
//! ```text
//! bench [--quick] [DIRECTORY]
//! bench [--quick] --throughput
//! ```
//!
//! It writes `results.md` and `results.svg` to the directory, `docs/benchmarks` by default. `--quick` shows whether
//! everything works, not how fast it is: few runs, and the small image in place of the large one. hyperfine takes all
//! times; programs that are missing or don't work here are reported. Needs root, for pods. `--throughput` measures that
//! alone, and prints it.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a tool that can't speak has failed")]

mod chart;
mod cold;
mod compare;
mod document;
mod engines;
mod goals;
mod images;
mod machine;
mod memory;
mod report;
mod results;
mod stdio;
mod stream;
mod throughput;
mod unit;
mod warm;
mod whole;
mod work;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use testing::repository;
use testing::rootfs::Rootfs;

use compare::Turns;
use images::Image;
use report::Report;
use results::Results;
use work::Work;

/// How much is measured.
#[derive(Debug)]
struct Amount {
    /// Turns of what takes seconds.
    long: Turns,
    /// Turns of what takes milliseconds.
    short: Turns,
    /// The bytes that go through a pod's stdio, and turns.
    stdio: (u64, Turns),
    /// What goes through the network.
    throughput: throughput::Amount,
}

const WHOLE: Amount = Amount {
    long: Turns { rounds: 7, runs: 1 },
    short: Turns { rounds: 12, runs: 6 },
    stdio: (1_000_000_000, Turns { rounds: 15, runs: 1 }),
    throughput: throughput::Amount { bytes: 4 << 30, rounds: 15 },
};
const QUICK: Amount = Amount {
    long: Turns { rounds: 1, runs: 1 },
    short: Turns { rounds: 1, runs: 3 },
    stdio: (10_000_000, Turns { rounds: 1, runs: 1 }),
    throughput: throughput::Amount { bytes: 256 << 20, rounds: 5 },
};

fn main() -> Result<()> {
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    match words[..] {
        ["--sink", port] => return stream::sink(port.parse()?),
        ["--pour", address, bytes] => return stream::pour(address, bytes.parse()?),
        _ => {}
    }
    let quick = arguments.first().is_some_and(|first| first == "--quick");
    arguments.drain(..usize::from(quick));
    let amount = if quick { &QUICK } else { &WHOLE };
    if arguments.first().is_some_and(|first| first == "--throughput") {
        return alone(amount);
    }
    ensure!(arguments.len() <= 1, "usage: bench [--quick] [DIRECTORY]");
    let into = arguments.pop().map_or_else(|| repository().join("docs/benchmarks"), PathBuf::from);
    let into = std::path::absolute(into)?;
    fs::create_dir_all(&into).with_context(|| format!("create {}", into.display()))?;
    let results = measure(amount, quick)?;
    let write = |name: &str, text: String| {
        let path = into.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    };
    let goals = results.goals();
    write("results.svg", document::picture(&results))?;
    write("results.md", document::text(&results, &goals))?;
    let mut summary = Report::default();
    summary.goals(&goals);
    print!("{}", summary.finish());
    Ok(())
}

/// Measures throughput alone.
fn alone(amount: &Amount) -> Result<()> {
    Rootfs::busybox()?;
    let work = Work::enter()?;
    engines::configure(&work)?;
    let ways = throughput::measure(&work, amount.throughput)?;
    let mut report = Report::default();
    report.goals(&throughput::goals(&ways));
    report.ways(&ways);
    print!("{}", report.finish());
    Ok(())
}

fn measure(amount: &Amount, quick: bool) -> Result<Results> {
    let (large, small) = (("debian", Rootfs::debian as fn() -> _), ("busybox", Rootfs::busybox as fn() -> _));
    // Packages are fetched before the bench enters its own namespace.
    let kinds = if quick { vec![small] } else { vec![large, small] };
    for (name, rootfs) in &kinds {
        images::prepare(name, rootfs)?;
    }
    let work = Work::enter()?;
    engines::configure(&work)?;
    let machine = machine::facts(&work)?;
    let versions = machine::versions(&work);
    let images: Vec<_> = kinds.iter().map(|(name, _)| Image::unpack(&work, name)).collect::<Result<_>>()?;
    let cold = cold::measure(&work, &images[0], amount.long)?;
    let memory = memory::measure(&work, &images[0])?;
    engines::fill(&work, &images)?;
    let warm = warm::measure(&work, &images, amount.short)?;
    let whole = whole::measure(&work, &images[images.len() - 1], amount.short)?;
    let stdio = stdio::measure(&work, amount.stdio)?;
    let throughput = throughput::measure(&work, amount.throughput)?;
    Ok(Results { images, machine, versions, cold, warm, whole, memory, stdio, throughput })
}
