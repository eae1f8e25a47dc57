// SPDX-License-Identifier: Apache-2.0
//! `image save`, killed and made to fail at each of its calls. What it makes is not in DIR: it is there whole or not at
//! all, and DIR stays as it is.

use std::fs;
use std::path::Path;

use gate::root_test;
use nix::errno::Errno;
use syscall_faults::trace::{self, Fault};
use testing::state::State;
use testing::tiny::said;
use testing::trees::{Tree, look};

use super::operations::Step;
use super::place::{PULLED, Place};

const FAULTS: [Fault; 3] = [Fault::Kill, Fault::Error(Errno::ENOSPC), Fault::Error(Errno::EIO)];
const SAVED: &str = "saved";

fn sweep(format: &str, least: usize) {
    let place = Place::new(&[Step::Run(&["image", "pull", PULLED])], &[]);
    place.restore();
    let before = State::of(&place.dir());
    let (output, image) = (place.path().join(SAVED), before.trees.keys().next().unwrap().clone());
    let words = ["image", "save", &image, "--format", format, "-o", output.to_str().unwrap()];
    assert!(place.run(&words).status.success());
    let whole = content(&output);
    for fault in FAULTS {
        let mut points = 0;
        loop {
            clear(&place);
            let run =
                trace::run(&place.command(&words), |event| (event.number == points + 1).then_some(fault));
            let run = run.unwrap();
            if run.fault().is_none() {
                assert_eq!(run.code, Some(0), "{}", run.stderr);
                break;
            }
            points += 1;
            let (about, error) = (format!("{fault:?} at {points}"), said(&run.stderr));
            match fault {
                Fault::Kill | Fault::KillOne => assert_eq!(run.code, None, "{about}: {error}"),
                Fault::Error(errno) => {
                    let errno = std::io::Error::from(errno).to_string();
                    let is_line = error.starts_with("error: ") && error.lines().count() == 1;
                    assert!(run.code == Some(1) && is_line && error.contains(&errno), "{about}: {error}");
                    assert!(left(&place).iter().all(|name| name == SAVED), "{about}: {:?}", left(&place));
                }
            }
            if output.exists() {
                assert_eq!(content(&output), whole, "{about}");
            }
            assert_eq!(State::of(&place.dir()), before, "{about}");
            clear(&place);
            assert!(place.run(&words).status.success(), "{about}: the same again");
            assert_eq!(content(&output), whole, "{about}");
        }
        assert!(points >= least, "{fault:?} at {points} points");
    }
}

/// Reads an archive, or a layout.
fn content(path: &Path) -> (Vec<u8>, Tree) {
    if path.is_file() { (fs::read(path).unwrap(), Tree::new()) } else { (Vec::new(), look(path).unwrap()) }
}

/// Lists what is beside DIR because of a save.
fn left(place: &Place) -> Vec<String> {
    let names = fs::read_dir(place.path()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.trim_start_matches('.').starts_with(SAVED)).collect()
}

fn clear(place: &Place) {
    for name in left(place) {
        let path = place.path().join(name);
        fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path)).unwrap();
    }
}

#[root_test]
fn a_save_as_an_archive() {
    sweep("oci-archive", 5);
}

#[root_test]
fn a_save_as_a_layout() {
    sweep("oci", 12);
}
