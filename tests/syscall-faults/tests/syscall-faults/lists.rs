// SPDX-License-Identifier: Apache-2.0
//! Counts the system calls of a list of pods that have ended: a few for each, however many there are. A time would say
//! more about the machine.

use std::fs;
use std::time::Instant;

use gate::root_test;
use pod::layout;
use syscall_faults::trace;
use testing::chance::{is_long, say};
use testing::tiny::Tiny;

const FEW: usize = 20;
const MANY: usize = 80;
/// How many calls a pod may take: its directory, the look at its lock, its five files, and in JSON a look at its network.
const OF_A_POD: usize = 31;
/// How many pods are listed in the measurement.
const MEASURED: usize = 1000;

/// Prepares pods until there are so many, all of which have ended.
fn fill(tiny: &Tiny, pods: usize) {
    let there = || fs::read_dir(tiny.dir().join(layout::CONTAINERS)).map_or(0, Iterator::count);
    while there() < pods {
        let prepared = tiny.installer(&["prepare", "--image", "tiny.aci"]).output().unwrap();
        assert!(prepared.status.success(), "{prepared:?}");
        let path = String::from_utf8(prepared.stdout).unwrap();
        let history = format!("{}/{}", path.trim_end(), layout::HISTORY);
        fs::write(history, "started 1.000\nended 2.000 code 0\n").unwrap();
    }
}

fn calls(tiny: &Tiny, words: &[&str]) -> usize {
    let run = trace::run(&tiny.installer(words), |_| None).unwrap();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{words:?}");
    run.calls
}

#[root_test]
fn a_list_makes_a_few_calls_for_each_pod() {
    let tiny = Tiny::new();
    let lists: [&[&str]; 3] = [&["list", "-q"], &["list"], &["list", "--format", "json"]];
    fill(&tiny, FEW);
    let few = lists.map(|words| calls(&tiny, words));
    fill(&tiny, MANY);
    let many = lists.map(|words| calls(&tiny, words));
    for ((words, few), many) in lists.iter().zip(few).zip(many) {
        let more = many - few;
        say(&format!("{words:?}: {few} calls for {FEW} pods, {many} for {MANY}"));
        assert!(more <= OF_A_POD * (MANY - FEW), "{words:?}: {more} calls for {} pods", MANY - FEW);
    }
    if is_long() {
        fill(&tiny, MEASURED);
        let begun = Instant::now();
        let listed = tiny.installer(&["list"]).output().unwrap();
        let time = begun.elapsed();
        assert_eq!(
            listed.stdout.split(|byte| *byte == b'\n').count(),
            MEASURED + 2,
            "a heading, and a line each"
        );
        say(&format!("list of {MEASURED} pods that have ended: {:.1} ms", time.as_secs_f64() * 1000.0));
    }
}
