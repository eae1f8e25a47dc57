// SPDX-License-Identifier: Apache-2.0
//! A directory with archives, and DIR, which is restored before each run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pod::layout;
use syscall_faults::trace::{self, Event, Fault};
use testing::pods::image_id;
use testing::tiny::Tiny;

use super::operations::{Again, Step};

/// The directory in which an operation is repeated.
pub(super) struct Place(Tiny);

impl Place {
    /// Makes the archives, and a template of DIR.
    pub(super) fn new(before: &[Step]) -> Self {
        let place = Self(Tiny::new());
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
        self.0.dir()
    }

    /// Returns the directory that contains DIR.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
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
        self.0.installer(words)
    }

    /// Runs a command without a fault.
    pub(super) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Returns how a command ends that has been done already: its code, and what it writes to stderr.
    pub(super) fn end(&self, again: Again) -> (i32, String) {
        match again {
            Again::Succeeds => (0, String::new()),
            Again::Refused(line) => (1, line.replace("TINY", &image_id(&self.0.image("tiny")))),
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
        let id = image_id(&self.0.image(image));
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
