// SPDX-License-Identifier: Apache-2.0
//! One life of a pod: it is started in one way, and ended at a random moment in another.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

use fastrand::Rng;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use testing::pods::Gantry;

use crate::{id, output, said, wait_gone};

/// The ids that some pods have to do with, so that many first choices are taken.
const FEW_IDS: &str = "1744830464:8388608";
/// A pod is ended this long after its start at most: by then it runs.
const MOMENT_MAX: u64 = 600_000;

/// How a pod is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Start {
    /// By its own `/init`.
    Direct,
    /// By its own `/init`, with few ids to choose from.
    Narrow,
    /// In the background.
    Detached,
}

/// How a pod is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// Its process is killed.
    Init,
    /// nspawn is killed.
    Nspawn,
    /// Its process group is killed.
    Group,
    /// Its process is asked.
    Asked,
    /// The command stops it.
    Stopped,
    /// The command stops it by force.
    Forced,
}

const STARTS: [Start; 3] = [Start::Direct, Start::Narrow, Start::Detached];
const ENDS: [End; 6] = [End::Init, End::Nspawn, End::Group, End::Asked, End::Stopped, End::Forced];

/// A life that was drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) start: Start,
    pub(crate) end: End,
    moment: Duration,
}

impl Life {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let moment = Duration::from_micros(rng.u64(..MOMENT_MAX));
        Self { start: STARTS[rng.usize(..STARTS.len())], end: ENDS[rng.usize(..ENDS.len())], moment }
    }

    /// Lives it, until nothing of the pod is left, and checks that the pod's state is told.
    pub(crate) fn live(self, gantry: &Gantry, pod: &Path) {
        match self.start {
            Start::Detached => self.in_the_background(gantry, pod),
            _ => self.as_a_child(gantry, pod),
        }
        wait_gone(pod);
        let state = status(gantry, pod)["state"].clone();
        assert!(state == "exited" || state == "prepared", "{self:?}: {state}");
    }

    fn as_a_child(self, gantry: &Gantry, pod: &Path) {
        let errors = errors(gantry, pod);
        let mut command = Command::new("./stage1/init");
        command.current_dir(pod).process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
        if self.start == Start::Narrow {
            command.env("GANTRY_UIDS", FEW_IDS);
        }
        let mut child = command.stderr(File::create(&errors).unwrap()).spawn().unwrap();
        // The moment is what is tested.
        sleep(self.moment);
        let number = child.id().cast_signed();
        // It is this process's child, so that its number is no other's until it has been waited for.
        self.end(gantry, pod, number);
        let ended = wait(&mut child);
        self.check(ended, &fs::read_to_string(&errors).unwrap());
    }

    fn in_the_background(self, gantry: &Gantry, pod: &Path) {
        said(gantry, &["start", &id(pod)]);
        sleep(self.moment);
        let found = status(gantry, pod);
        let process = found["process"].as_i64().unwrap_or_else(|| panic!("{self:?}: {found}"));
        self.end(gantry, pod, process.try_into().unwrap());
    }

    fn end(self, gantry: &Gantry, pod: &Path, process: i32) {
        let pid = Pid::from_raw(process);
        match self.end {
            End::Init => kill(pid, Signal::SIGKILL).unwrap(),
            // Before there is one, its process is killed.
            End::Nspawn => kill(Pid::from_raw(nspawn(process)), Signal::SIGKILL).unwrap(),
            End::Group => killpg(pid, Signal::SIGKILL).unwrap(),
            End::Asked => kill(pid, Signal::SIGTERM).unwrap(),
            End::Stopped => drop(said(gantry, &["stop", &id(pod)])),
            End::Forced => drop(said(gantry, &["stop", "--force", &id(pod)])),
        }
    }

    /// Checks how the pod's process ended: in order, if it was asked to.
    fn check(self, ended: ExitStatus, errors: &str) {
        let is_asked = matches!(self.end, End::Asked | End::Stopped);
        // Before it holds the signal back, the request ends it. A command finds no pod then, and nothing to do.
        let in_order = ended.code() == Some(0) || ended.signal() == Some(Signal::SIGTERM as i32);
        assert!(!is_asked || in_order, "{self:?}: {ended}: {errors}");
        assert!(errors.lines().count() <= 1 && !errors.contains("panicked"), "{self:?}: {ended}: {errors}");
    }
}

/// Waits for a pod's process. One that `stop` has not seen, because it had not locked its pod yet, is asked again.
fn wait(child: &mut Child) -> ExitStatus {
    let begun = std::time::Instant::now();
    loop {
        if let Some(ended) = child.try_wait().unwrap() {
            return ended;
        }
        if begun.elapsed() > Duration::from_secs(3) {
            kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
        }
        assert!(begun.elapsed() < crate::PATIENCE, "process {} does not end", child.id());
        sleep(Duration::from_millis(2));
    }
}

fn nspawn(process: i32) -> i32 {
    testing::pods::nspawn(process.cast_unsigned()).map_or(process, u32::cast_signed)
}

fn errors(gantry: &Gantry, pod: &Path) -> PathBuf {
    gantry.beside(&format!("{}.errors", id(pod)))
}

fn status(gantry: &Gantry, pod: &Path) -> Value {
    let output = output(gantry, &["status", "--format", "json", &id(pod)]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}
