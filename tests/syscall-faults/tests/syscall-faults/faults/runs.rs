// SPDX-License-Identifier: Apache-2.0
//! Commands about runs of pods, killed and made to fail at each of their calls, those of the log writer, the remover and
//! the pod's process included. The pod stands in for one: it ends at once.
//!
//! Invariant: afterwards the pod is one that was never started or one that has ended, its log can be read, and it starts.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use gate::root_test;
use nix::errno::Errno;
use pod::layout;
use serde_json::Value;
use syscall_faults::trace::{self, Fault, Point, Points, Run};
use testing::chance::say;
use testing::program;
use testing::tiny::{Tiny, said};

/// How often a command is repeated until it passes a point again.
const ATTEMPTS: usize = 20;
const FAULTS: [Fault; 4] =
    [Fault::Kill, Fault::KillOne, Fault::Error(Errno::ENOSPC), Fault::Error(Errno::EIO)];

/// A directory with a pod called `web` that has never been started, and a command about it.
struct Place {
    tiny: Tiny,
    command: Vec<String>,
}

impl Place {
    fn new(command: &[&str], history: Option<&str>) -> Self {
        let tiny = Tiny::new();
        let init = program("short-pod");
        let with_init = |words: &[&str]| -> Vec<String> {
            words.iter().map(|word| word.replace("INIT", init.to_str().unwrap())).collect()
        };
        let place = Self { tiny, command: with_init(command) };
        let words = with_init(&["prepare", "--image", "tiny.aci", "--name", "web", "--stage1-init", "INIT"]);
        let pod = place.said(&words.iter().map(String::as_str).collect::<Vec<_>>());
        if let Some(history) = history {
            fs::write(Path::new(pod.trim_end()).join(layout::HISTORY), history).unwrap();
        }
        fs::rename(place.tiny.dir(), place.tiny.path().join("template")).unwrap();
        place
    }

    fn said(&self, words: &[&str]) -> String {
        let output = self.tiny.installer(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the command with this fault at a point. Returns also the points that were passed, and whether the fault came.
    fn run(&self, fault: Fault, at: Option<&Point>) -> (Run, BTreeSet<Point>, bool) {
        let _ = fs::remove_dir_all(self.tiny.dir());
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(self.tiny.path().join("template")).arg(self.tiny.dir());
        assert!(copy.status().unwrap().success());
        let (mut points, mut passed, mut came) = (Points::default(), BTreeSet::new(), false);
        // Until a pod is published, it is prepared, which other tests are about.
        let mut is_published = self.command[0] != "run";
        let words: Vec<_> = self.command.iter().map(String::as_str).collect();
        let run = trace::run(&self.tiny.installer(&words), |event| {
            let point = points.at(event);
            if came || !is_published {
                is_published |= event.call == "renameat2" && point.to_string().contains(layout::CONTAINERS);
                return None;
            }
            came = at == Some(&point);
            let shown = point.to_string();
            // How often a lock is tried depends on how long another process has it, and how often a log is opened, written and
            // moved on how much of it comes at once: one of these stands for all. So does whether a log writer ends before its
            // pod is removed. Cgroups of other tests' pods, which come and go, are no part of this.
            let is_repeated = shown.contains(" after ");
            let is_by_chance = is_repeated
                && (["flock", "write"].contains(&point.call) || shown.contains("/POD.log"))
                || shown.contains("/logs/") && shown.contains(layout::STAGING);
            if !(is_by_chance || shown.contains(" /gantry-") || shown.contains("(deleted)")) {
                passed.insert(point);
            }
            came.then_some(fault)
        });
        (run.unwrap(), passed, came)
    }

    /// Runs the command with a fault at each of its points, and a check after each.
    fn sweep(&self, name: &str, least: usize, check: impl Fn(&str)) {
        for fault in FAULTS {
            let (run, mut known, _) = self.run(fault, None);
            assert_eq!((run.code, said(&run.stderr).as_str()), (Some(0), ""), "without a fault");
            check("without a fault");
            let mut done = BTreeSet::new();
            while let Some(point) = known.pop_first() {
                let tried = (0..ATTEMPTS).map(|_| self.run(fault, Some(&point))).find(|(.., came)| *came);
                let (run, passed, _) = tried.unwrap_or_else(|| panic!("{point} was never passed again"));
                let about = format!("{fault:?} at {point}");
                check_end(&run, fault, &about);
                check(&about);
                done.insert(point);
                known.extend(passed.into_iter().filter(|point| !done.contains(point)));
            }
            say(&format!("{name}: {fault:?} at {} points", done.len()));
            assert!(done.len() >= least, "{done:?}");
        }
    }

    /// Checks that each pod was never started or has ended.
    fn check_states(&self, about: &str) {
        let listed: Value = serde_json::from_str(&self.said(&["list", "--format", "json"])).unwrap();
        for pod in listed.as_array().unwrap() {
            let is_at_rest = ["prepared", "exited"].contains(&pod["state"].as_str().unwrap());
            assert!(is_at_rest && pod["problem"].is_null(), "{about}: {pod}");
        }
    }

    fn check_empty(&self, about: &str) {
        let names = |part: &&str| fs::read_dir(self.tiny.dir().join(part)).unwrap();
        let left: Vec<_> = [layout::CONTAINERS, layout::STAGING].iter().flat_map(names).collect();
        assert!(left.is_empty(), "{about}: {left:?}");
    }
}

/// Checks how a command ended that was disturbed.
fn check_end(run: &Run, fault: Fault, about: &str) {
    match fault {
        // An attendant may be killed after the command has ended.
        Fault::Kill => assert!([None, Some(0)].contains(&run.code), "{about}: {run:?}"),
        // A fault of the log writer's, or of the pod's, may be none of the command's.
        Fault::KillOne | Fault::Error(_) if run.code == Some(0) => {}
        Fault::KillOne if run.code.is_none() => {}
        Fault::KillOne | Fault::Error(_) => {
            let error = said(&run.stderr);
            let is_line = error.starts_with("error: ") && error.lines().count() == 1;
            assert!([Some(1), Some(254)].contains(&run.code) && is_line, "{about}: {:?}: {error}", run.code);
        }
    }
}

#[root_test]
fn a_start_in_the_background() {
    let place = Place::new(&["start", "web"], None);
    place.sweep("a_start_in_the_background", 10, |about| {
        place.check_states(about);
        place.said(&["logs", "web"]);
        place.said(&["start", "web"]);
        assert_eq!(place.said(&["wait", "web"]), "0\n", "{about}");
        assert!(place.said(&["rm", "web"]).starts_with("removed "), "{about}");
        place.check_empty(about);
    });
}

/// Whatever becomes of a log writer that moves its logs, these have whole lines, each once and in their order; if it is killed, all
/// that have room.
#[root_test]
fn logs_that_are_moved() {
    let bounds = ["--log-opt", "max-size=90", "--log-opt", "max-file=4"];
    let place = Place::new(&[&["start", "web"], &bounds[..]].concat(), None);
    place.sweep("logs_that_are_moved", 16, |about| {
        place.check_states(about);
        let output = place.tiny.installer(&["logs", "--app", "POD", "web"]).output().unwrap();
        assert!(output.status.success(), "{about}: {output:?}");
        let read = String::from_utf8_lossy(&output.stderr);
        // What was lost is counted, in a line of its own.
        let lines = read.lines().filter(|line| line.starts_with("said "));
        // A line may have its beginning alone, which the log says (CRI's P).
        let numbers: Vec<u32> = lines.filter_map(|line| line["said ".len()..].parse().ok()).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{about}: {read}");
        // Another one goes on for one that is killed.
        let is_kept = about.starts_with("KillOne at") && about.contains("/POD.log");
        let is_whole = numbers.last() == Some(&7) && numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        assert!(!is_kept || is_whole, "{about}: {read}");
        place.said(&["rm", "web"]);
        place.check_empty(about);
    });
}

/// A pod that was never started is a prepared one, whatever it was to become.
#[root_test]
fn a_run_that_removes_its_pod() {
    let words = ["run", "-d", "--rm", "--name", "once", "--stage1-init", "INIT", "tiny.aci"];
    let place = Place::new(&words, None);
    place.sweep("a_run_that_removes_its_pod", 20, |about| {
        place.check_states(about);
        // Also one that was not started.
        place.said(&["gc", "--grace", "1h"]);
        // The pod that each place has.
        place.said(&["rm", "web"]);
        place.check_empty(about);
    });
}

/// The time of a pod whose end nobody has recorded counts from the first collection that finds it ended. If that can't be
/// written down, the next one tries again.
#[root_test]
fn a_gc_that_finds_an_end() {
    let place = Place::new(&["gc", "--grace", "1h"], Some("started 1.000\n"));
    place.sweep("a_gc_that_finds_an_end", 3, |about| {
        place.check_states(about);
        assert_eq!(place.said(&["gc", "--grace", "1h"]), "", "{about}");
        assert!(place.said(&["status", "web"]).contains("found ended"), "{about}");
        assert_eq!(place.said(&["gc", "--grace", "1h"]), "", "{about}");
        place.said(&["gc", "--grace", "0"]);
        place.check_empty(about);
    });
}
