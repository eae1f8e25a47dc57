// SPDX-License-Identifier: Apache-2.0
//! Many commands at once in one data directory: each succeeds or says why not, and in the end everything in it is
//! whole.

mod locks;
mod worker;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::thread;

use gate::root_test;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use testing::host::own_mounts;
use testing::pods::text;
use testing::state::State;
use testing::tiny::{Tiny, said};
use worker::{Gate, IMAGES, KILLED, MIX, Part, Worker};

/// How often all of them are started.
const ROUNDS: usize = 24;
/// How many images fill a small file system.
const MANY: usize = 20;

fn start(tiny: &Tiny, words: &[&str]) -> Child {
    let mut command = tiny.installer(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Returns the pod directory that a prepare has printed, and checks that it printed nothing else.
fn prepared(output: &Output) -> PathBuf {
    assert_eq!((output.status.code(), said(&text(&output.stderr)).as_str()), (Some(0), ""));
    PathBuf::from(text(&output.stdout).strip_suffix('\n').unwrap())
}

/// Checks that it failed with one line that says `why`.
fn refused(output: &Output, why: &str) {
    let error = said(&text(&output.stderr));
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""), "{error}");
    assert!(error.starts_with("error: ") && error.lines().count() == 1 && error.contains(why), "{error}");
}

/// Returns the state with each image's pods, made one after the other. DIR is gone afterwards.
fn reference(tiny: &Tiny, images: &[&str], layouts: &[&str]) -> State {
    for (image, layout) in images.iter().flat_map(|image| layouts.iter().map(move |layout| (image, layout))) {
        let image = format!("{image}.aci");
        prepared(&tiny.installer(&["prepare", "--image", &image, "--layout", layout]).output().unwrap());
    }
    let state = State::of(&tiny.dir());
    assert_eq!(state.pods.len(), images.len() * layouts.len());
    fs::remove_dir_all(tiny.dir()).unwrap();
    state
}

/// Checks that DIR contains these pods, all of them whole, with the trees that they are layers over, and nothing else.
fn check(tiny: &Tiny, pods: &BTreeSet<PathBuf>, reference: &State) {
    let state = State::of(&tiny.dir());
    state.check(&[reference], "in the end");
    let there: BTreeSet<_> = state.pods.keys().map(|id| tiny.dir().join("containers").join(id)).collect();
    assert_eq!(&there, pods);
    state.check_references("in the end");
    assert!(state.staging.is_empty(), "{:?} is left in staging", state.staging);
}

/// Runs one round and returns the new pods. All that were there before are gone.
fn round(tiny: &Tiny, pods: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let gate = Gate::new();
    // One of each part, then another of each, until all are there, so that they meet in every order.
    let numbers = 0..MIX.iter().map(|(_, count)| *count).max().unwrap();
    let parts = numbers.flat_map(|number| MIX.iter().map(move |(part, count)| (number, *part, *count)));
    let workers: Vec<_> = parts
        .filter(|(number, _, count)| number < count)
        .map(|(number, part, count)| {
            let pods: Vec<_> = pods.iter().skip(number).step_by(count).collect();
            Worker::start(&gate, tiny, part, number, &pods)
        })
        .collect();
    let (mut killed, others): (Vec<_>, Vec<_>) =
        workers.into_iter().partition(|worker| worker.part == Part::Killed);
    gate.open();
    let mut others = others.into_iter();
    // When the first has ended, the others are in the middle of their work.
    let mut pods: Vec<_> = others.next().unwrap().end(tiny).into_iter().collect();
    killed.iter_mut().for_each(Worker::kill);
    pods.extend(others.chain(killed).filter_map(|worker| worker.end(tiny)));
    let new: BTreeSet<_> = pods.iter().cloned().collect();
    assert_eq!(new.len(), pods.len(), "each has a pod of its own");
    new
}

/// Waits for the workers of killed installers: a worker dies after its installer, and keeps its directory locked until
/// then.
fn wait_for_the_dead(tiny: &Tiny) {
    for entry in fs::read_dir(tiny.dir().join("staging")).unwrap() {
        let directory = File::open(entry.unwrap().path()).unwrap();
        drop(Flock::lock(directory, FlockArg::LockExclusive).unwrap());
    }
}

/// Returns all pods that are there, whether or not they were printed.
fn there(tiny: &Tiny) -> BTreeSet<PathBuf> {
    let containers = fs::read_dir(tiny.dir().join("containers")).unwrap();
    containers.map(|entry| entry.unwrap().path()).collect()
}

#[root_test]
fn thirty_two_at_once() {
    assert_eq!(MIX.iter().map(|(_, count)| count).sum::<usize>(), 32);
    let tiny = Tiny::new();
    fs::write(tiny.path().join("broken.aci"), "no image").unwrap();
    let reference = reference(&tiny, &IMAGES, &["auto", "copy"]);
    let run = |words: &[&str]| tiny.installer(words).output().unwrap();
    // Without DIR, `gc` and its like have nothing to work in.
    let mut pods = BTreeSet::from([prepared(&run(&["prepare", "--image", "two.aci"]))]);
    for number in 0..ROUNDS {
        // In every second round, no pod refers to anything in the store at the beginning.
        if number % 2 == 1 {
            std::mem::take(&mut pods).iter().for_each(|pod| fs::remove_dir_all(pod).unwrap());
        }
        let mut known = round(&tiny, &pods);
        wait_for_the_dead(&tiny);
        // A killed prepare may have published a pod without printing it. What it has not published, this prepare
        // sweeps.
        known.insert(prepared(&run(&["prepare", "--image", "two.aci"])));
        pods = there(&tiny);
        assert!(known.is_subset(&pods) && pods.len() <= known.len() + KILLED, "{known:?}, {pods:?}");
        check(&tiny, &pods, &reference);
        let trees = State::of(&tiny.dir()).trees;
        let intact: String = trees.keys().map(|tree| format!("{tree}: intact\n")).collect();
        assert_eq!(text(&run(&["verify"]).stdout), intact);
    }
    // Without pods, nothing is kept.
    pods.iter().for_each(|pod| fs::remove_dir_all(pod).unwrap());
    assert!(run(&["gc"]).status.success());
    let left = State::of(&tiny.dir());
    assert_eq!((left.objects(), left.staging.len()), (0, 0));
}

/// Mounts a tmpfs of this size at `path`, visible only to this thread and its children.
fn mount_small(path: &std::path::Path, bytes: usize) {
    fs::create_dir(path).unwrap();
    own_mounts();
    let options = format!("size={bytes},mode=0700");
    mount(Some("none"), path, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).unwrap();
}

/// One pod is there, and others find no room for theirs, all at once.
fn fill_up(tiny: &Tiny) {
    let images: Vec<String> = (0..MANY).map(|number| format!("image-{number}")).collect();
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    let reference = reference(tiny, &images, &["auto"]);
    // There is room for a few of them.
    mount_small(&tiny.dir(), 256 << 10);
    let prepare = |image: &str| start(tiny, &["prepare", "--image", &format!("{image}.aci")]);
    let mut pods = BTreeSet::from([prepared(&prepare(images[0]).wait_with_output().unwrap())]);
    let others: Vec<_> = images[1..].iter().map(|image| prepare(image)).collect();
    let mut full = 0;
    for child in others {
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            pods.insert(prepared(&output));
        } else {
            refused(&output, "No space left on device");
            full += 1;
        }
    }
    assert!(full > 0, "there was room for all of them");
    check(tiny, &pods, &reference);
    // The space that the failed commands used is free again.
    pods.iter().for_each(|pod| fs::remove_dir_all(pod).unwrap());
    let pod = prepared(&prepare(images[0]).wait_with_output().unwrap());
    check(tiny, &BTreeSet::from([pod]), &reference);
}

#[root_test]
fn a_file_system_that_fills_up() {
    let tiny = Tiny::new();
    // The mount belongs to the thread, and goes with it.
    thread::scope(|scope| scope.spawn(|| fill_up(&tiny)).join()).unwrap();
}
