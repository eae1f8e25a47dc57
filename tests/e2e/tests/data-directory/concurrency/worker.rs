// SPDX-License-Identifier: Apache-2.0
//! One of the commands that run at once: what it does, and how it may end. All of them wait at a gate until all are
//! there.

use std::io::{PipeReader, PipeWriter, pipe};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use pod::id::PodId;
use testing::pods::{image_id, text};
use testing::tiny::Tiny;

use super::{prepared, refused};

pub(super) const IMAGES: [&str; 3] = ["one", "two", "three"];
/// How many are killed.
pub(super) const KILLED: usize = 3;
/// The parts, and how many commands have each: thirty-two in all.
pub(super) const MIX: [(Part, usize); 9] = [
    (Part::Prepare, 9),
    (Part::Copy, 2),
    (Part::Killed, KILLED),
    (Part::RemoveImage, 4),
    (Part::RemovePods, 3),
    (Part::Collect, 3),
    (Part::Import, 3),
    (Part::Broken, 3),
    (Part::Verify, 2),
];

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Prepares one of the images, and succeeds.
    Prepare,
    /// Prepares a pod with copies, and succeeds.
    Copy,
    /// Prepares a file that is not an image, after which it would remove DIR if it had made it.
    Broken,
    /// Prepares, and is killed.
    Killed,
    /// Removes pods of the round before.
    RemovePods,
    /// Removes every tree that no pod refers to.
    Collect,
    /// Removes an image, unless a pod refers to it or another command uses it.
    RemoveImage,
    /// Imports an image into the store.
    Import,
    /// Compares everything in the store with what was extracted.
    Verify,
}

/// The gate at which all wait.
pub(super) struct Gate {
    inside: PipeReader,
    outside: PipeWriter,
}

impl Gate {
    pub(super) fn new() -> Self {
        let (inside, outside) = pipe().unwrap();
        Self { inside, outside }
    }

    /// Starts a shell that becomes the program once the gate is open.
    fn start(&self, command: &Command) -> Child {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "read -r go; exec \"$@\" < /dev/null", "sh"]);
        shell.arg(command.get_program()).args(command.get_args());
        shell.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.stdin(self.inside.try_clone().unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
        shell.spawn().unwrap()
    }

    /// Opens the gate: all read the end of the file.
    pub(super) fn open(self) {
        drop(self.outside);
    }
}

/// A started command.
pub(super) struct Worker {
    pub(super) part: Part,
    /// The image that it is about.
    image: &'static str,
    child: Child,
}

impl Worker {
    /// Starts a command. It may remove the pods `pods`.
    pub(super) fn start(gate: &Gate, tiny: &Tiny, part: Part, number: usize, pods: &[&PathBuf]) -> Self {
        let image = IMAGES[number % IMAGES.len()];
        let (file, id) = (format!("{image}.aci"), format!("{image}.id"));
        let command = match part {
            Part::Prepare | Part::Killed => tiny.installer(&["prepare", "--image", &file]),
            Part::Copy => tiny.installer(&["prepare", "--image", &file, "--layout", "copy"]),
            Part::Broken => tiny.installer(&["prepare", "--image", "broken.aci"]),
            Part::Collect => tiny.installer(&["gc"]),
            Part::RemoveImage => tiny.installer(&["image", "rm", &id]),
            Part::Import => tiny.installer(&["image", "import", &file]),
            Part::Verify => tiny.installer(&["verify"]),
            Part::RemovePods => {
                let mut command = Command::new("/bin/rm");
                command.arg("-rf").args(pods);
                command
            }
        };
        Self { part, image, child: gate.start(&command) }
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Waits for its end, and checks that it is a permitted one. Returns the pod that it has made.
    pub(super) fn end(self, tiny: &Tiny) -> Option<PathBuf> {
        let id = image_id(&tiny.image(self.image));
        let output = self.child.wait_with_output().unwrap();
        let well = output.status.success();
        match self.part {
            Part::Prepare | Part::Copy => return Some(prepared(&output)),
            // It may have printed its pod before it was killed.
            Part::Killed => return text(&output.stdout).strip_suffix('\n').map(PathBuf::from),
            Part::Broken => refused(&output, "broken.aci"),
            Part::RemovePods => said_all(&output, |_| false),
            Part::Collect => said_all(&output, |line| {
                line.starts_with("removed image sha256-") || line.starts_with("removed stage1 sha256-")
            }),
            Part::RemoveImage if well => said_all(&output, |line| line == format!("removed {id}")),
            Part::RemoveImage => refused_to_remove(&output, &id),
            Part::Import => said_all(&output, |line| line == id),
            Part::Verify => said_all(&output, |line| line.ends_with(": intact")),
        }
        None
    }
}

/// Checks that it succeeded, and that it printed only lines for which `is_one` holds.
fn said_all(output: &Output, is_one: impl Fn(&str) -> bool) {
    let (said, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), error.as_str()), (Some(0), ""), "{said}");
    assert!(said.lines().all(is_one), "{said}");
}

/// Checks that it refused: the image is not there, or another command uses it, or a pod refers to it.
fn refused_to_remove(output: &Output, id: &str) {
    let (said, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), said.as_str()), (Some(1), ""), "{error}");
    let until = "(installer rm removes a pod that has ended)\n";
    let is_by_pod = |rest: &str| {
        let (pod, rest) = rest.split_once(' ').unwrap_or_default();
        pod.parse::<PodId>().is_ok() && rest == format!("refers to image {id} {until}")
    };
    let is_known = error.strip_prefix("error: pod ").is_some_and(is_by_pod)
        || error == format!("error: image {id} is in use {until}")
        || error
            == format!(
                "error: no such image in the store: {id} (installer image list shows what there is)\n"
            );
    assert!(is_known, "{error}");
}
