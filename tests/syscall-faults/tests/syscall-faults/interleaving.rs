// SPDX-License-Identifier: Apache-2.0
//! Stops a command at a call that changes something or locks, lets another command do all of its work, and continues
//! the first: at each of these calls.
//!
//! Many commands at once meet by chance (`concurrency`). Here the second command meets the first at every possible
//! place.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use gate::root_test;
use syscall_faults::trace::{self, Event, Point, Points, Run};
use testing::host::waits_for_a_lock;
use testing::state::State;
use testing::tiny::{OBJECTS, Tiny, said};

const PREPARE: &[&str] = &["prepare", "--image", "tiny.aci"];
const PREPARE_OTHER: &[&str] = &["prepare", "--image", "other.aci"];
/// It fails, and removes what it has made, including DIR.
const PREPARE_BROKEN: &[&str] = &["prepare", "--image", "broken.aci"];
const IMPORT: &[&str] = &["image", "import", "tiny.aci"];
const GC: &[&str] = &["gc"];

/// Two commands that meet.
#[derive(Clone, Copy, Debug)]
struct Meeting {
    /// What was done before, in a new DIR.
    before: Option<&'static [&'static str]>,
    /// The command that is stopped.
    first: &'static [&'static str],
    /// The command that runs meanwhile.
    other: &'static [&'static str],
}

impl Meeting {
    /// Runs what comes before, then the first command, and calls `at` at each of its points.
    fn run(&self, tiny: &Tiny, at: impl FnMut(Point)) -> Run {
        if tiny.dir().exists() {
            fs::remove_dir_all(tiny.dir()).unwrap();
        }
        if let Some(words) = self.before {
            assert!(tiny.installer(words).output().unwrap().status.success());
        }
        trace(tiny, self.first, at)
    }

    /// Returns the number of pods in the end.
    fn pods(&self) -> usize {
        [self.first, self.other].iter().filter(|words| [PREPARE, PREPARE_OTHER].contains(words)).count()
    }
}

/// Runs a command, and calls `at` at each point.
fn trace(tiny: &Tiny, words: &[&str], mut at: impl FnMut(Point)) -> Run {
    let mut points = Points::default();
    let decide = |event: &Event| {
        at(points.at(event));
        None
    };
    trace::run(&tiny.installer(words), decide).unwrap()
}

/// Runs a command to its end, or until it waits for a lock: then the stopped command may have to continue first.
fn come_in(mut command: Command) -> JoinHandle<Output> {
    let (tell, told) = mpsc::channel();
    // In a thread of its own, since the tracer waits for all children of its thread.
    let output = thread::spawn(move || {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        tell.send(child.id()).unwrap();
        child.wait_with_output().unwrap()
    });
    let id = told.recv().unwrap();
    while !output.is_finished() && !waits_for_a_lock(id) {
        thread::yield_now();
    }
    output
}

/// Runs the other command at each point of the first.
fn sweep(meeting: Meeting, least: usize) {
    let tiny = Tiny::new();
    fs::write(tiny.path().join("broken.aci"), "no image").unwrap();
    for words in [PREPARE, PREPARE_OTHER] {
        assert!(tiny.installer(words).output().unwrap().status.success());
    }
    let reference = State::of(&tiny.dir());
    let mut points = BTreeSet::new();
    meeting.run(&tiny, |point| {
        points.insert(point);
    });
    assert!(points.len() >= least, "{} points", points.len());
    for point in points {
        let about = format!("{meeting:?} at {point}");
        let mut came = None;
        let run = meeting.run(&tiny, |passed| {
            if passed == point {
                // Without DIR, there is nothing to collect.
                let fails = meeting.other == PREPARE_BROKEN || meeting.other == GC && !tiny.dir().exists();
                came = Some((come_in(tiny.installer(meeting.other)), i32::from(fails)));
            }
        });
        let (came, code) = came.unwrap_or_else(|| panic!("{about}: never passed again"));
        let came = came.join().unwrap();
        assert_eq!(came.status.code(), Some(code), "{about}: {}", String::from_utf8_lossy(&came.stderr));
        assert_eq!((run.code, said(&run.stderr).as_str()), (Some(0), ""), "{about}");
        let state = State::of(&tiny.dir());
        state.check(&[&reference], &about);
        assert_eq!(state.pods.len(), meeting.pods(), "{about}");
        state.check_references(&about);
        assert!(state.staging.is_empty(), "{about}: {:?} is left", state.staging);
    }
}

macro_rules! meetings {
    ($($name:ident: $before:expr, $first:expr, $other:expr, $least:expr;)*) => {
        $(#[root_test]
        fn $name() {
            sweep(Meeting { before: $before, first: $first, other: $other }, $least);
        })*
    };
}

meetings! {
    a_prepare_comes_in: None, PREPARE, PREPARE_OTHER, OBJECTS;
    a_prepare_that_fails_comes_in: None, PREPARE, PREPARE_BROKEN, OBJECTS;
    a_gc_comes_in: None, PREPARE, GC, OBJECTS;
    a_gc_comes_into_a_prepare_of_what_is_known: Some(IMPORT), PREPARE, GC, 10;
    a_prepare_of_what_is_known_comes_into_a_gc: Some(IMPORT), GC, PREPARE, OBJECTS / 2;
}

/// The command that made DIR removes it again while another one has opened but not yet locked it.
#[root_test]
fn a_directory_that_vanishes_before_it_is_locked() {
    let tiny = Tiny::new();
    fs::write(tiny.path().join("broken.aci"), "no image").unwrap();
    let (is_made, made) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let dir = tiny.dir();
    let first = tiny.installer(PREPARE_BROKEN);
    let first = thread::spawn(move || {
        trace::run(&first, |event| {
            let is_staging = event.objects.iter().any(|object| object.starts_with(dir.join("staging")));
            if event.call == "mkdirat" && is_staging && !event.objects[0].ends_with("staging") {
                is_made.send(()).unwrap();
                // Until the other end has hung up.
                may_go_on.recv().unwrap_err();
            }
            None
        })
    });
    made.recv().unwrap();
    let mut first = Some((first, go_on));
    let run = trace(&tiny, PREPARE, |point| {
        if point.call == "flock"
            && let Some((first, go_on)) = first.take()
        {
            drop(go_on);
            let run = first.join().unwrap().unwrap();
            assert_eq!(run.code, Some(1), "{}", run.stderr);
            assert!(!tiny.dir().exists(), "it is taken away while it is open");
        }
    });
    assert_eq!((run.code, said(&run.stderr).as_str()), (Some(0), ""));
    assert!(first.is_none(), "DIR is locked");
    assert_eq!(State::of(&tiny.dir()).pods.len(), 1);
}
