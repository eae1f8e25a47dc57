// SPDX-License-Identifier: Apache-2.0
//! Repeats an operation, with a fault at another call each time, until every call has had one.
//!
//! Threads change the order of calls, so a call is identified by what it does to which object.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use nix::errno::Errno;
use pod::layout;
use syscall_faults::trace::{self, Event, Fault, Point, Points, Run};
use testing::state::State;
use testing::tiny::said;

use super::operations::{Again, Operation};
use super::place::Place;

/// How often an operation is repeated until it passes a point again.
const ATTEMPTS: usize = 20;

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// The call's process and all others of the program are killed.
    Killed,
    /// The call fails.
    Fails(Errno),
    /// The file system is full from then on.
    Full,
    /// A complete directory can't be published, and the program is killed while it cleans up.
    KilledCleaningUp,
}

const TROUBLES: &[Trouble] = &[
    Trouble::Killed,
    Trouble::Fails(Errno::ENOSPC),
    Trouble::Fails(Errno::EIO),
    Trouble::Fails(Errno::EDQUOT),
    Trouble::Full,
    Trouble::KilledCleaningUp,
];

impl Trouble {
    /// Tells whether it can happen at a call.
    fn can_come(self, event: &Event) -> bool {
        self != Self::Full || event.takes_space()
    }

    fn fault(self) -> Fault {
        match self {
            Self::Killed | Self::KilledCleaningUp => Fault::Kill,
            Self::Fails(errno) => Fault::Error(errno),
            Self::Full => Fault::Error(Errno::ENOSPC),
        }
    }
}

/// What an operation does without a fault.
struct Reference {
    before: State,
    after: State,
}

/// Sweeps an operation with every trouble, and prints how many points there were.
pub(super) fn sweep(name: &str, operation: &Operation) {
    let place = Place::new(operation.before, operation.command);
    let reference = reference(&place, operation);
    let mut report = String::new();
    for trouble in TROUBLES {
        let hits = sweep_one(&place, operation, &reference, *trouble);
        let points: usize = hits.values().sum();
        writeln!(report, "{name}: {trouble:?} at {points} points: {hits:?}").unwrap();
        let least = match trouble {
            Trouble::KilledCleaningUp if hits.is_empty() => 0,
            Trouble::KilledCleaningUp | Trouble::Full => operation.least / 2,
            _ => operation.least,
        };
        assert!(points >= least, "{report}expected {least} points or more");
    }
    // Not by eprintln!: the harness keeps to itself what a passing test prints.
    io::stderr().write_all(report.as_bytes()).unwrap();
}

fn reference(place: &Place, operation: &Operation) -> Reference {
    place.restore();
    let before = State::of(&place.dir());
    let output = place.run(operation.command);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let after = State::of(&place.dir());
    assert!(after.staging.is_empty(), "staging is empty after a run that nothing disturbs");
    let objects = before.objects().max(after.objects());
    assert!(objects >= operation.least / 2, "what is published has the archives' objects");
    Reference { before, after }
}

/// Returns how many points had their fault, by call.
fn sweep_one(
    place: &Place,
    operation: &Operation,
    reference: &Reference,
    trouble: Trouble,
) -> BTreeMap<&'static str, usize> {
    let (mut hits, mut done) = (BTreeMap::new(), BTreeSet::new());
    let mut known = run(place, operation, trouble, None).passed;
    while let Some(point) = known.pop_first() {
        let run = (0..ATTEMPTS).map(|_| run(place, operation, trouble, Some(&point))).find(|run| run.came);
        let Troubled { run, passed, .. } = run.unwrap_or_else(|| panic!("{point} was never passed again"));
        *hits.entry(point.call).or_default() += 1;
        let about = format!("{trouble:?} at {point}");
        match trouble.fault() {
            Fault::Kill | Fault::KillOne => check_killed(place, &run, reference, &about),
            Fault::Error(errno) => check_failed(place, &run, reference, (trouble, errno), &about),
        }
        check_rerun(place, operation, reference, &about);
        done.insert(point);
        known.extend(passed.into_iter().filter(|point| !done.contains(point)));
    }
    hits
}

/// A run, with trouble or without.
struct Troubled {
    run: Run,
    /// Whether the trouble happened.
    came: bool,
    /// The points at which it could have happened, up to the one where it did.
    passed: BTreeSet<Point>,
}

/// Runs an operation with the trouble at a point.
fn run(place: &Place, operation: &Operation, trouble: Trouble, at: Option<&Point>) -> Troubled {
    place.restore();
    let (mut points, mut came, mut passed) = (Points::default(), false, BTreeSet::new());
    let mut cleans_up = trouble != Trouble::KilledCleaningUp;
    let run = trace::run(&place.command(operation.command), |event| {
        let point = points.at(event);
        if !cleans_up {
            cleans_up = place.is_published_by(event);
            return cleans_up.then_some(Fault::Error(Errno::EIO));
        }
        if came || !trouble.can_come(event) {
            let goes_on = came && trouble == Trouble::Full && event.takes_space();
            return goes_on.then(|| trouble.fault());
        }
        came = at == Some(&point);
        // Cgroups of other pods on this machine come and go.
        if point.call != "flock" || !point.to_string().contains(" /gantry-") {
            passed.insert(point);
        }
        came.then(|| trouble.fault())
    });
    let run = run.unwrap();
    let succeeds = trouble != Trouble::KilledCleaningUp || !cleans_up;
    if !came && succeeds {
        assert_eq!(run.code, Some(0), "without a fault: {}", run.stderr);
    }
    Troubled { run, came, passed }
}

fn check_killed(place: &Place, run: &Run, reference: &Reference, about: &str) {
    assert_eq!(run.code, None, "{about}");
    assert!(said(&run.stderr).is_empty(), "{about}: {}", run.stderr);
    let Reference { before, after } = reference;
    let state = State::of(&place.dir());
    state.check(&[before, after], about);
    state.check_kept(before, after, about);
}

fn check_failed(
    place: &Place,
    run: &Run,
    reference: &Reference,
    (trouble, errno): (Trouble, Errno),
    about: &str,
) {
    let error = said(&run.stderr);
    // `verify` reports what it finds at once, and what it has done only afterwards.
    let is_found =
        |line: &str| [": found ", ": intact", ": init renewed"].iter().any(|word| line.contains(word));
    // A gc that can't remove a cgroup still collects the store, and says so.
    let is_removed = |line: &str| line.starts_with("removed ");
    let done = run.stdout.lines().find(|line| !is_found(line) && !is_removed(line));
    assert_eq!((run.code, done), (Some(1), None), "{about}: {error}");
    let line = error.strip_suffix('\n').unwrap_or_default();
    assert!(line.starts_with("error: ") && !line.contains(char::is_control), "{about}: {error}");
    // The error says what failed, on which object, and what the system says.
    let (said, by_name) = (io::Error::from(errno).to_string(), errno.to_string());
    let ends = line.ends_with(&said) || line.ends_with(&by_name);
    assert!(line.contains("cannot ") && ends, "{about}: {error}");
    let state = State::of(&place.dir());
    let Reference { before, after } = reference;
    state.check(&[before, after], about);
    state.check_kept(before, after, about);
    let is_pods = |line: &&str| line.starts_with("removed pod ");
    let is_said = run.stdout.lines().any(|line| is_removed(line) && !is_pods(&line));
    assert!(!is_said || state.trees == after.trees, "{about}: what is said to be removed is there");
    // A pod that was there before may already be as it was to become, or be removed if it was to be.
    let has_come = state.pods.keys().any(|pod| !before.pods.contains_key(pod));
    let stays = |pod: &&String| after.pods.contains_key(*pod);
    let has_gone = before.pods.keys().filter(stays).any(|pod| !state.pods.contains_key(pod));
    assert!(!has_come && !has_gone, "{about}: pods come and go");
    for line in run.stdout.lines().filter(is_pods) {
        let is_there = state.pods.keys().any(|pod| line.ends_with(pod));
        assert!(!is_there, "{about}: {line}: it is there");
    }
    assert!(!run.stdout.contains(": init renewed") || state.pods == after.pods, "{about}: it is not renewed");
    // A tree may already be removed or renewed. A new one appears only if a rename failed.
    let has_come = state.trees.keys().any(|tree| !before.trees.contains_key(tree));
    assert!(!has_come || trouble == Trouble::Full, "{about}: a tree has come");
    if state.trees == before.trees {
        let mut rest = state.rest.clone();
        // Blobs that are complete are kept, and so is the directory that they are in.
        let above = Path::new(layout::BLOBS).ancestors().filter(|_| !state.blobs.is_empty());
        above.filter(|path| !before.rest.contains_key(*path)).for_each(|path| drop(rest.remove(path)));
        assert_eq!(rest, before.rest, "{about}");
    }
    assert!(state.staging.is_subset(&before.staging), "{about}: {:?} is left", state.staging);
}

fn check_rerun(place: &Place, operation: &Operation, reference: &Reference, about: &str) {
    let Reference { before, after } = reference;
    let left = State::of(&place.dir());
    let published = left.pods.len() > before.pods.len();
    // The store, or where it stays as it is, the pods tell whether the work is still to be done or was done: it is never
    // half done.
    let removes_pods_alone = before.trees == after.trees && after.pods.len() < before.pods.len();
    let done = before.trees != after.trees && left.trees == after.trees
        || removes_pods_alone && left.pods.len() == after.pods.len();
    let (code, line) = place.end(if done { operation.again } else { Again::Succeeds });
    let output = place.run(operation.command);
    let error = said(&String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), error), (Some(code), line), "{about}: the same again");
    let about = &format!("{about}, and again");
    let state = State::of(&place.dir());
    state.check(&[before, after], about);
    assert_eq!(state.pods.len(), after.pods.len() + usize::from(published), "{about}");
    if !published {
        assert_eq!(state.pods_alike(), after.pods_alike(), "{about}");
    }
    assert_eq!(
        (&state.trees, &state.rest, &state.blobs),
        (&after.trees, &after.rest, &after.blobs),
        "{about}"
    );
    assert!(state.staging.is_empty(), "{about}: {:?} is left", state.staging);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&*place.path().to_string_lossy()), "{about}: a mount is left");
}
