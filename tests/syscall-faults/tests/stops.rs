// SPDX-License-Identifier: Apache-2.0
//! The pod's process is asked to stop, or killed, while it, or what becomes nspawn, or the boot program, is about to make a system call: at
//! each of their calls, from the first to the last. A request ends the pod in order. After a SIGKILL nothing is left; before there is a
//! reaper, that is so after the next start.
//!
//! A program of its own, since it adopts what pods leave ([`testing::alone`]). The long version takes each call. The short one takes
//! every `STEP`th, from one on that it draws.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

use std::path::PathBuf;
use std::process::Command;

use fastrand::Rng;
use gate::root_test;
use nix::sys::signal::{Signal, kill};
use pod::arch::Arch;
use syscall_faults::stop::{self, Ended, Whose};
use testing::alone::Alone;
use testing::chance::{is_long, say, seed};
use testing::image::{script, with_handler};
use testing::pods::{Gantry, status, wait_gone};
use testing::rootfs::Rootfs;

/// How far apart the calls of the short version are.
const STEP: usize = 29;
/// Everything that the pod says.
const SAID: &str = "up\npost\n";

/// A pod that ends by itself, and its place.
struct Place {
    alone: Alone,
    /// What the pod is in.
    _gantry: Gantry,
    pod: PathBuf,
}

impl Place {
    fn new() -> Self {
        let alone = Alone::new();
        let gantry = Gantry::new();
        let image = with_handler(script("stopped", "echo up"), "post-stop", "echo post");
        let image = gantry.image("stopped", &Rootfs::busybox().unwrap(), &image);
        let pod = gantry.prepare(&[&image], &["-p", "20080:80"]);
        Self { alone, _gantry: gantry, pod }
    }

    fn ids(&self) -> [String; 1] {
        [self.pod.file_name().unwrap().to_string_lossy().into_owned()]
    }

    fn run(&self, whose: Whose, number: usize, signal: Signal) -> Ended {
        let mut init = Command::new("./stage1/init");
        let ended = stop::at(init.current_dir(&self.pod), whose, number, |process| {
            kill(process, signal).unwrap();
        });
        wait_gone(&self.pod);
        ended.unwrap()
    }

    /// Sends the signal at each call, and checks how the pod ended. Returns how many calls there are.
    fn sweep(&self, whose: Whose, signal: Signal, mut check: impl FnMut(&Ended, &str)) -> usize {
        let (first, step) = match is_long() {
            true => (1, 1),
            false => (Rng::with_seed(seed("stops")).usize(1..=STEP), STEP),
        };
        for (done, number) in (first..).step_by(step).enumerate() {
            let about = format!("{signal} at call {number} of {whose:?}");
            let ended = self.run(whose, number, signal);
            if !ended.reached {
                assert_eq!(
                    (ended.code, &*ended.stdout, &*ended.stderr),
                    (Some(0), SAID, ""),
                    "{about}: {ended:?}"
                );
                say(&format!(
                    "stops: {signal} at {done} calls of {whose:?}, which makes {} or so",
                    number - 1
                ));
                self.alone.assert_nothing_is_left(&self.ids());
                return number;
            }
            check(&ended, &about);
            if ended.signal == Some(Signal::SIGKILL) && whose == Whose::Init {
                // It may have had no reaper yet. The next start takes its cgroup and its ids away.
                let next = self.run(Whose::Init, usize::MAX, signal);
                assert_eq!((next.code, &*next.stdout), (Some(0), SAID), "after {about}: {next:?}");
            }
            self.alone.assert_nothing_is_left(&self.ids());
        }
        unreachable!("there are more numbers than calls")
    }

    /// Checks that a request ends the pod in order.
    fn asks(&self, whose: Whose) -> usize {
        let mut holds = whose != Whose::Init;
        self.sweep(whose, Signal::SIGTERM, |ended, about| {
            if ended.signal == Some(Signal::SIGTERM) && !holds {
                // Before its first line, a program can hold nothing back, and has made nothing.
                assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""), "{about}");
                return;
            }
            holds = true;
            assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{about}: {ended:?}");
            match status(&self.pod, "stopped") {
                0 => assert_eq!(ended.stdout, SAID, "{about}"),
                // What has begun is cleaned up after, and what has not says nothing.
                143 => assert!(["", "post\n", SAID].contains(&&*ended.stdout), "{about}: {ended:?}"),
                other => panic!("{about}: the status is {other}: {ended:?}"),
            }
        })
    }

    /// Checks that a killed pod leaves nothing.
    fn kills(&self, whose: Whose) -> usize {
        self.sweep(whose, Signal::SIGKILL, |ended, about| {
            assert_eq!((ended.signal, &*ended.stderr), (Some(Signal::SIGKILL), ""), "{about}: {ended:?}");
            assert!(SAID.starts_with(&ended.stdout), "{about}: {ended:?}");
        })
    }
}

/// What systemd would do at its end, a program of its own among it, is left to the reaper.
#[root_test]
fn a_pod_executes_what_it_is_known_to_and_nothing_at_its_end() {
    let place = Place::new();
    let runs = if is_long() { 200 } else { 10 };
    // The kernel keeps 15 characters of a name.
    let loader = Arch::current().loader.rsplit('/').next().and_then(|name| name.get(..15)).unwrap();
    for run in 1..=runs {
        // No program makes so many calls, so nothing is done.
        let mut ended = place.run(Whose::Boot, usize::MAX, Signal::SIGKILL);
        // From 254 on, systemd begins each service by this program.
        ended.programs.retain(|name| name != "systemd-executo");
        assert_eq!(
            (ended.reached, ended.code, &*ended.stdout),
            (false, Some(0), SAID),
            "run {run}: {ended:?}"
        );
        let app = ["launch", "sh", "status"];
        let expected = [&["init", loader, "boot", "systemd"][..], &app, &app, &["exit-code"]].concat();
        assert_eq!(ended.programs, expected, "run {run}");
    }
    say(&format!("stops: {runs} pods have executed nothing after exit-code"));
}

#[root_test]
fn a_request_at_each_call_of_init_ends_the_pod_in_order() {
    let calls = Place::new().asks(Whose::Init);
    assert!(calls > 500, "{calls} calls");
}

#[root_test]
fn a_request_at_each_call_of_what_becomes_nspawn_ends_the_pod_in_order() {
    let calls = Place::new().asks(Whose::Nspawn);
    assert!(calls > 40, "{calls} calls");
}

#[root_test]
fn a_request_at_each_call_of_the_boot_program_ends_the_pod_in_order() {
    let calls = Place::new().asks(Whose::Boot);
    assert!(calls > 200, "{calls} calls");
}

#[root_test]
fn init_killed_at_each_of_its_calls_leaves_nothing() {
    let calls = Place::new().kills(Whose::Init);
    assert!(calls > 500, "{calls} calls");
}

#[root_test]
fn init_killed_at_each_call_of_what_becomes_nspawn_leaves_nothing() {
    let calls = Place::new().kills(Whose::Nspawn);
    assert!(calls > 40, "{calls} calls");
}

#[root_test]
fn init_killed_at_each_call_of_the_boot_program_leaves_nothing() {
    let calls = Place::new().kills(Whose::Boot);
    assert!(calls > 200, "{calls} calls");
}
