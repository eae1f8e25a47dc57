// SPDX-License-Identifier: Apache-2.0
//! Checks that faults really happen: a call that is killed or made to fail is not executed, in any process or thread.

use std::fs;
use std::process::Command;

use gate::root_test;
use nix::errno::Errno;
use syscall_faults::trace::{self, Fault, Run};
use testing::tiny;

/// Makes the directories `before`, in a grandchild process `made`, and then `after`.
fn shell(fault: impl Fn(usize) -> Option<Fault>) -> (Run, [bool; 3]) {
    let directory = tiny::directory();
    let script =
        "mkdir before && (sh -c 'mkdir made; echo made $?; exit 7'; code=$?; mkdir after; exit $code)";
    let mut command = Command::new("/bin/sh");
    command.env("PATH", "/usr/bin:/bin").args(["-c", script]).current_dir(directory.path());
    let run = trace::run(&command, |event| fault(event.number)).unwrap();
    let there = ["before", "made", "after"].map(|name| fs::exists(directory.path().join(name)).unwrap());
    (run, there)
}

#[root_test]
fn calls_are_counted_in_every_process() {
    let (run, there) = shell(|_| None);
    assert_eq!((run.code, there, run.points()), (Some(7), [true; 3], 3), "{:?}", run.events);
    assert_eq!(run.stdout, "made 0\n");
    assert!(run.fault().is_none());
}

#[root_test]
fn a_call_that_is_made_to_fail_is_not_executed() {
    let (run, there) = shell(|number| (number == 2).then_some(Fault::Error(Errno::EDQUOT)));
    assert_eq!((run.code, there), (Some(7), [true, false, true]), "{:?}", run.events);
    assert_eq!(run.stdout, "made 1\n");
    assert!(run.stderr.contains("uota exceeded"), "{}", run.stderr);
    assert_eq!(run.fault().unwrap().end.as_ref().unwrap().result, -i64::from(Errno::EDQUOT as i32));
}

#[root_test]
fn a_kill_ends_every_process_before_the_call() {
    let (run, there) = shell(|number| (number == 2).then_some(Fault::Kill));
    assert_eq!((run.code, there), (None, [true, false, false]), "{:?}", run.events);
    assert_eq!((run.stdout.as_str(), run.points()), ("", 2));
}
