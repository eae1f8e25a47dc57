// SPDX-License-Identifier: Apache-2.0
//! Published objects are on disk: checks the calls that make them durable, and their order.
//!
//! A test can't cut the power. So it checks the protocol (ARCHITECTURE.md, "Prepare"), and that this check notices each
//! call that is missing or too late.

mod protocol;

use std::fs;

use gate::root_test;
use nix::errno::Errno;
use protocol::Published;
use syscall_faults::trace::{self, Done, Event, Fault, Run};
use testing::tiny::{Tiny, said};

const PREPARE: &[&str] = &["prepare", "--image", "tiny.aci"];

/// Runs a command, and returns what it did and what it published.
fn publish(tiny: &Tiny, words: &[&str]) -> (Run, Vec<Published>) {
    publish_in_spite_of(tiny, words, |_| None)
}

fn publish_in_spite_of(
    tiny: &Tiny,
    words: &[&str],
    faults: impl FnMut(&Event) -> Option<Fault>,
) -> (Run, Vec<Published>) {
    let before = protocol::entries(&tiny.dir());
    let run = trace::run(&tiny.installer(words), faults).unwrap();
    assert_eq!((run.code, said(&run.stderr).as_str()), (Some(0), ""));
    let published = protocol::published(&tiny.dir(), &before);
    assert!(!published.is_empty(), "{words:?} publishes something");
    (run, published)
}

fn check(events: &[Event], published: &[Published]) -> Result<(), String> {
    published.iter().try_for_each(|published| protocol::check(events, published))
}

#[root_test]
fn all_is_synced_before_it_is_published_and_before_success_is_told() {
    let tiny = Tiny::new();
    for words in [
        PREPARE,
        PREPARE,
        &["prepare", "--image", "other.aci"],
        &["prepare", "--image", "third.aci", "--image", "fourth.aci"],
        &["image", "import", "fifth.aci"],
        &["prepare", "--image", "fifth.aci", "--layout", "copy"],
    ] {
        let (run, published) = publish(&tiny, words);
        check(&run.events, &published).unwrap_or_else(|error| panic!("{words:?}: {error}"));
    }
}

#[root_test]
fn an_init_that_can_not_be_linked_is_copied_onto_the_disk() {
    let tiny = Tiny::new();
    let is_link = |event: &Event| event.call == "linkat" && event.objects[0].ends_with("stage1/init");
    let too_many = |event: &Event| is_link(event).then_some(Fault::Error(Errno::EMLINK));
    let (run, published) = publish_in_spite_of(&tiny, PREPARE, too_many);
    assert!(run.fault().is_some(), "init is linked");
    check(&run.events, &published).unwrap();
}

#[root_test]
fn a_tree_that_replaces_a_damaged_one_is_on_disk() {
    let tiny = Tiny::new();
    let id = publish(&tiny, &["image", "import", "tiny.aci"]).0.stdout;
    let damaged = tiny.dir().join("store/tree-v1").join(id.trim()).join("tree/rootfs/etc/passwd");
    fs::write(damaged, "toor").unwrap();
    let (run, published) = publish(&tiny, &["verify", "--repair"]);
    assert_eq!(published.len(), 1, "{}", run.stdout);
    check(&run.events, &published).unwrap();
}

/// Changes a copy of the recorded events, and checks that the check notices it.
fn notices(what: &str, events: &[Event], published: &[Published], change: impl FnOnce(&mut Vec<Event>)) {
    let mut changed = events.to_vec();
    change(&mut changed);
    assert!(check(&changed, published).is_err(), "nobody would notice: {what}");
}

#[root_test]
fn the_check_notices_what_is_missing() {
    let (Run { events, .. }, published) = publish(&Tiny::new(), PREPARE);
    check(&events, &published).unwrap();
    let syncs =
        |event: &Event| matches!(event.done(), Some(Done::SyncedFileSystem(_) | Done::SyncedObject(_)));
    let is_rename = |event: &Event| published.iter().any(|published| published.is_published_by(event));
    let last_rename = events.iter().filter(|event| is_rename(event)).map(|event| event.began).max().unwrap();
    notices("syncs before the rename that are not made", &events, &published, |events| {
        events.retain(|event| !syncs(event) || event.began > last_rename);
    });
    notices("syncs after the rename that are not made", &events, &published, |events| {
        events.retain(|event| !syncs(event) || event.began < last_rename);
    });
    notices("a rename that may replace", &events, &published, |events| {
        for end in events.iter_mut().filter_map(|event| event.end.as_mut()) {
            if let Done::Renamed { no_replace, .. } = &mut end.done {
                *no_replace = false;
            }
        }
    });
    let told = events.iter().position(|event| matches!(event.done(), Some(Done::Said))).unwrap();
    notices("success that is told first", &events, &published, |events| events[told].began = 0);
    let last = events.iter().rev().flat_map(|event| &event.end).next().unwrap().at;
    for (index, event) in events.iter().enumerate() {
        let is_within = published.iter().any(|published| published.is_changed_by(event));
        if is_within {
            notices(&format!("too late: {event}"), &events, &published, |events| {
                events[index].began = last + 1;
                events[index].end.as_mut().unwrap().at = last + 2;
            });
        }
    }
}
