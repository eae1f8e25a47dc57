// SPDX-License-Identifier: Apache-2.0
//! A gigabyte through the stdout of an app in the background: all of it is in its log, and the app takes little more time than to
//! write it to a file itself.

use std::fs::File;
use std::io::{BufRead as _, BufReader};

use gate::root_test;
use testing::chance::{is_long, say};
use testing::image::script;
use testing::pods::{Gantry, text};
use testing::rootfs::Rootfs;

use crate::{clear, output, said};

/// How often it is written to a file and to stdout, in turns.
const TURNS: usize = 3;
/// The lengths of lines, with their newlines, and the least speed beside that of a file of the app's own. Other processes disturb
/// both, so that counts in the long version alone. A log of short lines is half as long again as what the app has written, so
/// for them there is no least speed.
const LINES: [(usize, Option<f64>); 2] = [(1000, Some(0.8)), (100, None)];

/// Returns the time of each write to a file and of the one to stdout after it, in seconds.
fn times(said: &str) -> Vec<(f64, f64)> {
    let turn = |line: &str| {
        let at: Vec<f64> = line.split_whitespace().map(|word| word.parse().expect(said)).collect();
        (at[1] - at[0], at[3] - at[2])
    };
    said.lines().map(turn).collect()
}

#[root_test]
fn all_of_a_flood_is_logged_and_the_app_is_hardly_slowed() {
    LINES.into_iter().for_each(|(length, least)| flood(length, least));
}

fn flood(length: usize, least: Option<f64>) {
    let gantry = Gantry::new();
    let bytes = if is_long() { 1_000_000_000 } else { 60_000_000 };
    let line = "x".repeat(length - 1);
    let app = format!(
        "flood() {{ yes {line} | head -c {bytes}; }}; now() {{ cut -d ' ' -f 1 /proc/uptime; }}; i=0
        while [ $i -lt {TURNS} ]; do
            a=$(now); flood >/tmp/file; b=$(now); rm /tmp/file
            c=$(now); flood; d=$(now)
            echo $a $b $c $d >&2; i=$((i+1))
        done"
    );
    let image = gantry.image("flood", &Rootfs::busybox().unwrap(), &script("flood", &app));
    let words = ["run", "-d", "--net", "none", "--log-opt", "max-size=unlimited", image.to_str().unwrap()];
    let pod = said(&gantry, &words).trim_end().to_owned();
    assert_eq!(said(&gantry, &["wait", &pod]), "0\n");
    let last = output(&gantry, &["logs", "-n", "1", &pod]);
    assert!(last.status.success(), "the log is complete: {last:?}");
    let log = File::open(gantry.dir().join("containers").join(&pod).join("logs/flood.log")).unwrap();
    let (mut logged, mut said_by_app) = (0, String::new());
    for record in BufReader::with_capacity(1 << 20, log).split(b'\n') {
        let record = record.unwrap();
        let mut words = record.splitn(4, |byte| *byte == b' ');
        let (stream, how) = (words.nth(1).unwrap(), words.next().unwrap());
        let text_of = words.next().unwrap();
        if stream == b"stderr" {
            said_by_app += &text(text_of);
            said_by_app += if how == b"F" { "\n" } else { "" };
        } else {
            assert!(text_of.iter().all(|byte| *byte == b'x'), "{}", text(text_of));
            logged += text_of.len() + usize::from(how == b"F");
        }
    }
    assert_eq!(logged, TURNS * bytes, "all of it is in the log");
    let mut ratios: Vec<f64> = times(&said_by_app).iter().map(|(file, log)| file / log).collect();
    ratios.sort_by(f64::total_cmp);
    assert_eq!(ratios.len(), TURNS);
    say(&format!(
        "flood: {bytes} bytes in lines of {length}, {TURNS} times; the speed beside that of a file: {}",
        ratios.iter().map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>().join(", ")
    ));
    assert!(!is_long() || least.is_none_or(|least| ratios[TURNS / 2] >= least), "{ratios:?}");
    clear(&gantry);
}
