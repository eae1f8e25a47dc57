// SPDX-License-Identifier: Apache-2.0
//! Pods that have ended: `gc` removes them some time later, and then what they were made of.

use std::fs;

use gate::root_test;
use nix::sys::signal::Signal;
use testing::pods::{Gantry, image_id};

use super::gc::Waiting;
use super::{image, said, trees};

fn id(pod: &std::path::Path) -> String {
    pod.file_name().unwrap().to_string_lossy().into_owned()
}

#[root_test]
fn gc_takes_ended_pods_once_their_time_is_over_and_then_their_images() {
    let gantry = Gantry::new();
    let (kept, gone) = (image(&gantry, "kept", "k"), image(&gantry, "gone", "g"));
    let never_started = gantry.prepare(&[&kept], &[]);
    let ended = gantry.prepare(&[&gone], &[]);
    assert_eq!(gantry.start(&ended).wait().0, 0);
    assert_eq!(said(&gantry, &["gc"]), "", "it has ended just now");
    assert_eq!(said(&gantry, &["gc", "--grace", "1h"]), "");
    let expected =
        format!("removed pod {}\nremoved image {} example.com/gone\n", id(&ended), image_id(&gone));
    assert_eq!(said(&gantry, &["gc", "--grace", "0"]), expected);
    assert!(never_started.exists() && !ended.exists());
    assert_eq!(trees(&gantry).len(), 2, "the other image and stage1");
}

#[root_test]
fn gc_leaves_a_running_pod_and_one_whose_end_it_is_the_first_to_find() {
    let gantry = Gantry::new();
    let Waiting { pod, running, .. } = Waiting::start(&gantry);
    assert_eq!(said(&gantry, &["gc", "--grace", "0"]), "");
    running.signal(Signal::SIGTERM);
    running.wait();
    // As after a power failure: nobody has written down that it ended.
    fs::write(pod.join("history"), "started 1700000000.000\n").unwrap();
    assert_eq!(said(&gantry, &["gc", "--grace", "1h"]), "");
    let history = fs::read_to_string(pod.join("history")).unwrap();
    assert!(history.lines().any(|line| line.starts_with("found ")), "{history}");
    let status = said(&gantry, &["status", &id(&pod)]);
    assert!(status.contains("found ended"), "{status}");
    assert_eq!(said(&gantry, &["gc", "--grace", "1h"]), "");
    assert_eq!(fs::read_to_string(pod.join("history")).unwrap(), history, "it is written down once");
    // It was found an hour ago.
    fs::write(pod.join("history"), "started 1700000000.000\nfound 1700000001.000\n").unwrap();
    assert!(said(&gantry, &["gc"]).starts_with(&format!("removed pod {}\n", id(&pod))));
}
