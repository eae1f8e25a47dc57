// SPDX-License-Identifier: Apache-2.0
//! `make bench`: measures Gantry and other programs that do the same, in one run.
//!
//! ```text
//! bench [--quick] [DIRECTORY]
//! bench [--quick] --part NAME
//! ```
//!
//! It writes `results.md` and `results.svg` to the directory, `docs/benchmarks` by default. `--quick` shows whether
//! everything works, not how fast it is: few runs, and the small image in place of the large one. hyperfine takes all
//! times; programs that are missing or don't work here are reported. Needs root, for pods. `--part` measures a part alone
//! (`part`), and prints it.
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
mod oci;
mod part;
mod report;
mod results;
mod start;
mod stdio;
mod stream;
mod throughput;
mod unit;
mod warm;
mod whole;
mod work;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use testing::repository;
use testing::rootfs::Rootfs;

use cold::Who;
use compare::Turns;
use images::{ENCODINGS, Encoding, GZ_AND_ZST, Image};
use part::Part;
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
    /// What is started.
    start: start::Amount,
    /// What goes through the network.
    throughput: throughput::Amount,
}

const WHOLE: Amount = Amount {
    long: Turns { rounds: 4, runs: 1 },
    short: Turns { rounds: 10, runs: 5 },
    stdio: (1_000_000_000, Turns { rounds: 7, runs: 1 }),
    start: start::Amount { apps: Turns { rounds: 5, runs: 1 }, at_once: 50, idle: 20, timed: 21 },
    throughput: throughput::Amount { bytes: 2 << 30, rounds: 9 },
};
const QUICK: Amount = Amount {
    long: Turns { rounds: 1, runs: 1 },
    short: Turns { rounds: 1, runs: 3 },
    stdio: (10_000_000, Turns { rounds: 1, runs: 1 }),
    start: start::Amount { apps: Turns { rounds: 1, runs: 1 }, at_once: 5, idle: 3, timed: 3 },
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
    let begun = Instant::now();
    let told = |()| eprintln!("measured in {} s", begun.elapsed().as_secs());
    if arguments.first().is_some_and(|first| first == "--part") {
        let name = arguments.get(1).and_then(|name| name.to_str()).unwrap_or_default();
        return alone(name.parse()?, amount, quick).map(told);
    }
    ensure!(arguments.len() <= 1, "usage: bench [--quick] [--part NAME | DIRECTORY]");
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
    told(());
    Ok(())
}

/// Measures a part alone and prints it.
fn alone(part: Part, amount: &Amount, quick: bool) -> Result<()> {
    let mut report = Report::default();
    if part == Part::Throughput {
        Rootfs::busybox()?;
        let work = Work::enter()?;
        engines::configure(&work)?;
        let ways = throughput::measure(&work, amount.throughput)?;
        report.goals(&throughput::goals(&ways));
        report.ways(&ways);
        print!("{}", report.finish());
        return Ok(());
    }
    if part == Part::Oci {
        oci::prepare()?;
    }
    let kinds = match (quick, part) {
        (false, Part::Cold | Part::Warm) => Kinds::Both(&ENCODINGS),
        (false, Part::Start) => Kinds::Both(GZ_AND_ZST),
        // Of the large one, no encoding is needed.
        (false, Part::Oci) => Kinds::Both(&[]),
        _ => Kinds::Small,
    };
    let (work, images) = set_up(kinds)?;
    match part {
        Part::Oci => {
            let oci = oci::measure(&work, &images[0], amount.long)?;
            report.goals(&goals::of_oci(&oci));
            document::oci(&mut report, &oci);
        }
        Part::Cold => {
            let cold = cold::measure(&work, &images[0], &ENCODINGS, Who::All, amount.long)?;
            let peaks = memory::measure(&work, &images[0])?;
            report.goals(&[goals::of_cold(&cold), goals::of_memory(&peaks)].concat());
            document::cold(&mut report, &cold, &peaks);
        }
        Part::Warm => {
            engines::fill(&work, &images)?;
            let warm = warm::measure(&work, &images, amount.short)?;
            let names: Vec<_> = images.iter().map(|image| image.name).collect();
            report.goals(&goals::of_warm(&warm, &names));
            document::warm(&mut report, &warm, &names);
        }
        Part::Start => {
            let small = &images[images.len() - 1];
            let cold = cold::measure(&work, &images[0], GZ_AND_ZST, Who::Goals, amount.long)?;
            engines::fill(&work, &images)?;
            let names: Vec<_> = images.iter().map(|image| image.name).collect();
            let warm = warm::measure(&work, &images, amount.short)?;
            let whole = whole::measure(&work, small, amount.short)?;
            let start = start::measure(&work, small, amount.start)?;
            let of_prepares = [goals::of_warm(&warm, &names), goals::of_cold(&cold)].concat();
            report.goals(&[goals::of_whole(&whole), goals::of_start(&start), of_prepares].concat());
            document::start(&mut report, &whole, &start);
        }
        Part::Stdio => {
            let rows = stdio::measure(&work, amount.stdio)?;
            document::stdio(&mut report, &rows);
        }
        Part::Throughput => {}
    }
    print!("{}", report.finish());
    Ok(())
}

/// Which images are made.
#[derive(Clone, Copy, Debug)]
enum Kinds {
    /// Both, the large one as a plain tar and in these encodings.
    Both(&'static [Encoding]),
    /// The small one, in all encodings.
    Small,
}

/// Makes the images, the large one first if it is wanted, and enters the place where everything is measured.
fn set_up(which: Kinds) -> Result<(Work, Vec<Image>)> {
    let (large, small) = (("debian", Rootfs::debian as fn() -> _), ("busybox", Rootfs::busybox as fn() -> _));
    // Packages are fetched before the bench enters its own namespace.
    let kinds = match which {
        Kinds::Small => vec![(small, &ENCODINGS[..])],
        Kinds::Both(encodings) => vec![(large, encodings), (small, &ENCODINGS)],
    };
    for ((name, rootfs), encodings) in &kinds {
        images::prepare(name, rootfs, encodings)?;
    }
    let work = Work::enter()?;
    engines::configure(&work)?;
    let images = kinds.iter().map(|((name, _), _)| Image::unpack(&work, name)).collect::<Result<_>>()?;
    Ok((work, images))
}

fn measure(amount: &Amount, quick: bool) -> Result<Results> {
    oci::prepare()?;
    let (work, images) = set_up(if quick { Kinds::Small } else { Kinds::Both(&ENCODINGS) })?;
    let machine = machine::facts(&work)?;
    let versions = machine::versions(&work);
    let cold = cold::measure(&work, &images[0], &ENCODINGS, Who::All, amount.long)?;
    let memory = memory::measure(&work, &images[0])?;
    let oci = oci::measure(&work, &images[0], amount.long)?;
    engines::fill(&work, &images)?;
    let warm = warm::measure(&work, &images, amount.short)?;
    let whole = whole::measure(&work, &images[images.len() - 1], amount.short)?;
    let start = start::measure(&work, &images[images.len() - 1], amount.start)?;
    let stdio = stdio::measure(&work, amount.stdio)?;
    let throughput = throughput::measure(&work, amount.throughput)?;
    Ok(Results { images, machine, versions, cold, oci, warm, whole, start, memory, stdio, throughput })
}
