// SPDX-License-Identifier: Apache-2.0
//! A directory with archives, and DIR, which is restored before each run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use pod::layout;
use syscall_faults::trace::{self, Event, Fault};
use testing::pods::image_id;
use testing::registry::Server;
use testing::tiny::{self, Tiny};

use super::operations::{Again, Step};

/// What stands in a command for the name of an image that a registry has.
pub(super) const PULLED: &str = "PULLED";

/// The directory in which an operation is repeated.
pub(super) struct Place {
    tiny: Tiny,
    registry: Option<Server>,
}

impl Place {
    /// Makes the archives, a registry if a command asks for one, and a template of DIR.
    pub(super) fn new(before: &[Step], command: &[&str]) -> Self {
        let pulls = |step: &Step| match step {
            Step::Run(words) | Step::Killed(words) => words.contains(&PULLED),
            Step::Damaged(_) | Step::OtherInits | Step::Ended => false,
        };
        let pulls = command.contains(&PULLED) || before.iter().any(pulls);
        // The tracer waits for all children of its thread: the registry is none of them.
        let start = || Server::start(&tiny::layered("tiny").blobs());
        let registry = pulls.then(|| thread::scope(|scope| scope.spawn(start).join().unwrap()));
        let place = Self { tiny: Tiny::new(), registry };
        for step in before {
            match step {
                Step::Run(words) => {
                    let output = place.run(words);
                    assert!(
                        output.status.success(),
                        "{words:?}: {}",
                        String::from_utf8_lossy(&output.stderr)
                    );
                }
                Step::Killed(words) => place.kill(words),
                Step::Damaged(image) => place.damage(image),
                Step::OtherInits => place.change_inits(),
                Step::Ended => place.end_pods(),
            }
        }
        if !before.is_empty() {
            fs::rename(place.dir(), place.template()).unwrap();
        }
        place
    }

    /// Returns DIR.
    pub(super) fn dir(&self) -> PathBuf {
        self.tiny.dir()
    }

    /// Returns the directory that contains DIR.
    pub(super) fn path(&self) -> &Path {
        self.tiny.path()
    }

    /// Restores DIR to its state before the operation.
    pub(super) fn restore(&self) {
        if self.dir().exists() {
            fs::remove_dir_all(self.dir()).unwrap();
        }
        if self.template().exists() {
            let copied = Command::new("cp").arg("-a").arg(self.template()).arg(self.dir()).status().unwrap();
            assert!(copied.success(), "the template can be copied");
        }
    }

    /// Returns a command of the installer.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let Some(registry) = &self.registry else { return self.tiny.installer(words) };
        let name = registry.name("a/b");
        let named: Vec<_> = words.iter().map(|word| if *word == PULLED { &name } else { *word }).collect();
        let mut command = self.tiny.installer(&named);
        command.envs(registry.environment());
        command
    }

    /// Runs a command without a fault.
    pub(super) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Returns how a command ends that has been done already: its code, and what it writes to stderr.
    pub(super) fn end(&self, again: Again) -> (i32, String) {
        match again {
            Again::Succeeds => (0, String::new()),
            Again::Refused(line) => (1, line.replace("TINY", &image_id(&self.tiny.image("tiny")))),
        }
    }

    fn template(&self) -> PathBuf {
        self.path().join("template")
    }

    /// Tells whether a call would publish a pod or a tree of the store.
    pub(super) fn is_published_by(&self, event: &Event) -> bool {
        let to = event.objects.get(1).and_then(|to| to.parent());
        [layout::CONTAINERS, layout::TREES].iter().any(|place| to == Some(&self.dir().join(place)))
    }

    fn damage(&self, image: &str) {
        let id = image_id(&self.tiny.image(image));
        fs::write(self.dir().join(layout::TREES).join(id).join("tree/rootfs/etc/passwd"), "damaged").unwrap();
    }

    fn end_pods(&self) {
        for pod in fs::read_dir(self.dir().join(layout::CONTAINERS)).unwrap() {
            let history = pod.unwrap().path().join(layout::HISTORY);
            fs::write(history, "started 1.000\nended 2.000 code 0\n").unwrap();
        }
    }

    fn change_inits(&self) {
        for pod in fs::read_dir(self.dir().join(layout::CONTAINERS)).unwrap() {
            let init = pod.unwrap().path().join(layout::STAGE1).join(layout::INIT);
            fs::remove_file(&init).unwrap();
            fs::write(&init, "another").unwrap();
        }
    }

    fn kill(&self, words: &[&str]) {
        let run =
            trace::run(&self.command(words), |event| self.is_published_by(event).then_some(Fault::Kill));
        assert!(run.unwrap().fault().is_some(), "{words:?} publishes something by a rename");
    }
}
