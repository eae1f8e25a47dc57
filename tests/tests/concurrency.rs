// SPDX-License-Identifier: Apache-2.0
//! Many at work in one directory: each ends well or says why not, and what is there in the end is whole.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tests::host::can_run;
use tests::state::State;
use tests::tiny::{Tiny, said};

/// How often all of them are let loose.
const ROUNDS: usize = 8;
/// How many prepare one of the images, and succeed.
const PREPARES: usize = 20;
/// How many prepare what is no image, and so would take DIR away again.
const FAILURES: usize = 4;
/// How many are killed as soon as they run.
const KILLED: usize = 4;
/// How many remove a pod of the round before.
const REMOVALS: usize = 4;
const IMAGES: &[&str] = &["one.aci", "two.aci", "three.aci"];

fn start(tiny: &Tiny, words: &[&str]) -> Child {
    let mut command = tiny.installer(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The pod that a prepare has printed, and nothing else.
fn prepared(output: &Output) -> PathBuf {
    assert_eq!((output.status.code(), said(&text(&output.stderr)).as_str()), (Some(0), ""));
    PathBuf::from(text(&output.stdout).strip_suffix('\n').unwrap())
}

/// One line that says `why`.
fn refused(output: &Output, why: &str) {
    let error = said(&text(&output.stderr));
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""), "{error}");
    assert!(error.starts_with("error: ") && error.lines().count() == 1 && error.contains(why), "{error}");
}

/// Each image's pod, made alone; DIR is gone afterwards.
fn reference(tiny: &Tiny, images: &[&str]) -> State {
    for image in images {
        prepared(&tiny.installer(&["prepare", "--image", image]).output().unwrap());
    }
    let state = State::of(&tiny.dir());
    assert_eq!(state.pods.len(), images.len());
    fs::remove_dir_all(tiny.dir()).unwrap();
    state
}

/// What is in DIR are these pods, all of them whole, and nothing besides.
fn check(tiny: &Tiny, pods: &BTreeSet<PathBuf>, reference: &State) {
    let state = State::of(&tiny.dir());
    state.check(&[reference], "in the end");
    let there: BTreeSet<_> = state.pods.keys().map(|id| tiny.dir().join("containers").join(id)).collect();
    assert_eq!(&there, pods);
    assert!(state.staging.is_empty(), "{:?} is left in staging", state.staging);
}

/// All at once; returns the pods that are new, and those that are gone.
fn round(tiny: &Tiny, pods: &BTreeSet<PathBuf>) -> (BTreeSet<PathBuf>, BTreeSet<PathBuf>) {
    let gone: BTreeSet<_> = pods.iter().take(REMOVALS).cloned().collect();
    let mut killed: Vec<_> = (0..KILLED).map(|_| start(tiny, &["prepare", "--image", "one.aci"])).collect();
    let failures: Vec<_> =
        (0..FAILURES).map(|_| start(tiny, &["prepare", "--image", "broken.aci"])).collect();
    let removals: Vec<_> =
        gone.iter().map(|pod| Command::new("rm").arg("-r").arg(pod).spawn().unwrap()).collect();
    let prepares: Vec<_> = IMAGES
        .iter()
        .cycle()
        .take(PREPARES)
        .map(|image| start(tiny, &["prepare", "--image", image]))
        .collect();
    killed.iter_mut().for_each(|child| child.kill().unwrap());
    let mut new: BTreeSet<_> =
        prepares.into_iter().map(|child| prepared(&child.wait_with_output().unwrap())).collect();
    assert_eq!(new.len(), PREPARES, "each has a pod of its own");
    for child in failures {
        refused(&child.wait_with_output().unwrap(), "broken.aci");
    }
    for mut child in removals {
        assert!(child.wait().unwrap().success());
    }
    // One may have got as far as to tell.
    for child in killed {
        let told = text(&child.wait_with_output().unwrap().stdout);
        new.extend(told.strip_suffix('\n').map(PathBuf::from));
    }
    (new, gone)
}

#[test]
fn thirty_two_at_once() {
    if !can_run("thirty_two_at_once") {
        return;
    }
    let tiny = Tiny::new();
    fs::write(tiny.path().join("broken.aci"), "no image").unwrap();
    let reference = reference(&tiny, IMAGES);
    let mut pods = BTreeSet::new();
    for _ in 0..ROUNDS {
        let (new, gone) = round(&tiny, &pods);
        pods.extend(new);
        pods.retain(|pod| !gone.contains(pod));
        // What a dead one has published without a word is there as well; and this one sweeps what it has not.
        pods.insert(prepared(&tiny.installer(&["prepare", "--image", "two.aci"]).output().unwrap()));
        let containers = fs::read_dir(tiny.dir().join("containers")).unwrap();
        let there: BTreeSet<_> = containers.map(|entry| entry.unwrap().path()).collect();
        assert!(pods.is_subset(&there) && there.len() <= pods.len() + KILLED);
        pods = there;
        check(&tiny, &pods, &reference);
    }
}

/// A file system in memory of this many bytes is mounted at `path`, for this thread and its children alone.
fn mount_small(path: &std::path::Path, bytes: usize) {
    fs::create_dir(path).unwrap();
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    let options = format!("size={bytes},mode=0700");
    mount(Some("none"), path, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).unwrap();
}

/// Case 40: one is there, and others find no room for theirs, all at once.
fn fill_up(tiny: &Tiny) {
    let images: Vec<String> = (0..PREPARES).map(|number| format!("image-{number}.aci")).collect();
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    let reference = reference(tiny, &images);
    // Room for a few of them.
    mount_small(&tiny.dir(), 256 << 10);
    let prepare = |image| start(tiny, &["prepare", "--image", image]);
    let mut pods = BTreeSet::from([prepared(&prepare(images[0]).wait_with_output().unwrap())]);
    let others: Vec<_> = images[1..].iter().map(|image| prepare(*image)).collect();
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
    // What the failed ones took is free again.
    pods.iter().for_each(|pod| fs::remove_dir_all(pod).unwrap());
    let pod = prepared(&prepare(images[0]).wait_with_output().unwrap());
    check(tiny, &BTreeSet::from([pod]), &reference);
}

#[test]
fn a_file_system_that_fills_up() {
    if can_run("a_file_system_that_fills_up") {
        let tiny = Tiny::new();
        // The mount is the thread's, and goes with it.
        thread::scope(|scope| scope.spawn(|| fill_up(&tiny)).join()).unwrap();
    }
}
