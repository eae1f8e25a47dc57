// SPDX-License-Identifier: Apache-2.0
//! `/init --timing`: the table has each step, in order, and adds up; without it, nothing is said or left.

use std::path::Path;
use std::process::Command;

use gate::root_test;
use serde_json::{Value, json};
use testing::image::{script, with_handler};
use testing::pods::{Gantry, text};
use testing::rootfs::Rootfs;

/// The steps of a pod of two apps, of which one has handlers. The steps of an app and its handlers are in this order, those of
/// the other may be between them.
const STEPS: &[&str] = &[
    "the pod is locked and its manifests are loaded",
    "the pod has its ids and its network, and the host is looked at",
    "the pod is planned",
    "stage1's files are written",
    "the pod's cgroup is made and the reaper is started",
    "the private root is made and entered",
    "the pod's cgroup is entered, and systemd-nspawn is executed",
    "the boot program has begun, and asks",
    "the pod's network is made, and the boot program is answered",
    "the boot program has masked and made what apps need, and has its answer",
    "the boot program becomes systemd",
    "pre-start-one: the launcher has its launch file",
    "pre-start-one: the launcher becomes the program",
    "pre-start-one: it has ended, and the status writer has begun",
    "pre-start-one: its end is written down",
    "app-one: the launcher has its launch file",
    "app-one: the launcher becomes the program",
    "app-one: it has ended, and the status writer has begun",
    "app-one: its end is written down",
    "post-stop-one: the launcher has its launch file",
    "post-stop-one: the launcher becomes the program",
    "post-stop-one: it has ended, and the status writer has begun",
    "all has ended, and the recorder of the pod's code has begun",
    "the pod's code is recorded",
    "the pod has said that its end is recorded",
    "/init has ended",
];

/// A line of the table, in microseconds.
struct Step {
    took: u64,
    at: u64,
    what: String,
}

fn step(line: &str) -> Step {
    let (took, rest) = line.strip_prefix("timing:").unwrap().trim_start().split_once(' ').unwrap();
    let (at, what) = rest.trim_start().split_once(' ').unwrap();
    let micros = |ms: &str| -> u64 {
        let (whole, part) = ms.split_once('.').unwrap();
        assert_eq!(part.len(), 3, "{line}");
        whole.parse::<u64>().unwrap() * 1000 + part.parse::<u64>().unwrap()
    };
    Step { took: micros(took), at: micros(at), what: what.to_owned() }
}

fn steps(pod: &Path, gantry: &Gantry) -> Vec<Step> {
    let mut init = Command::new("./stage1/init");
    let output = init.arg("--timing").current_dir(pod).output().unwrap();
    gantry.wait_all();
    let said = text(&output.stderr);
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(3), "pre\none\npost\n"),
        "{said}"
    );
    let (head, table) = said.split_once('\n').unwrap();
    assert_eq!(head, "timing: ms taken, ms since the beginning, what was done by then");
    table.lines().map(step).collect()
}

#[root_test]
fn the_times_of_a_start_and_an_end_are_in_order_and_add_up() {
    let gantry = Gantry::new();
    let busybox = Rootfs::busybox().unwrap();
    let meeting = |mut image: Value| {
        image["app"]["mountPoints"] = json!([{"name": "meet", "path": "/meet"}]);
        image
    };
    let one = script("one", "while ! [ -e /meet/begun ]; do sleep 0.05; done; echo one; exit 3");
    let one = with_handler(with_handler(one, "pre-start", "echo pre"), "post-stop", "echo post");
    let one = gantry.image("one", &busybox, &meeting(one));
    let two = gantry.image("two", &busybox, &meeting(script("two", "echo > /meet/begun; exec sleep 1000")));
    let pod = gantry.prepare(&[&one, &two], &["--volume", "meet,kind=empty,mode=1777"]);
    let found = steps(&pod, &gantry);
    let mut sum = 0;
    for step in &found {
        sum += step.took;
        assert_eq!(sum, step.at, "{}", step.what);
    }
    let names: Vec<_> = found.iter().map(|step| step.what.as_str()).collect();
    let of_one: Vec<_> = names.iter().filter(|what| !what.starts_with("app-two: ")).copied().collect();
    assert_eq!(of_one, STEPS, "{names:#?}");
    let of_two = names.iter().filter(|what| what.starts_with("app-two: "));
    assert_eq!(of_two.count(), 4, "{names:#?}");
}

#[root_test]
fn who_does_not_ask_for_times_gets_none() {
    let gantry = Gantry::new();
    let image = gantry.image("one", &Rootfs::busybox().unwrap(), &script("one", "exit 0"));
    let pod = gantry.prepare(&[&image], &[]);
    let mut init = Command::new("./stage1/init");
    assert_eq!(init.arg("--timing").current_dir(&pod).output().unwrap().status.code(), Some(0));
    gantry.wait_all();
    // What the other start has written is gone with it.
    let (code, output) = gantry.start(&pod).wait();
    assert_eq!((code, text(&output.stderr).as_str()), (0, ""));
    for words in [&["--dry-run"][..], &["--dry-run", "--timing"]] {
        let mut init = Command::new("./stage1/init");
        let plan = init.args(words).current_dir(&pod).output().unwrap();
        let plan = text(&plan.stdout);
        // The word of the boot program, of the status writer and of the recorder of the pod's code.
        let expected = if words.len() > 1 { 3 } else { 0 };
        let timed = plan.lines().filter(|line| line.split(' ').any(|word| word == "timed")).count();
        assert_eq!((timed, plan.contains("\"timing\"")), (expected, expected > 0), "{plan}");
    }
}
