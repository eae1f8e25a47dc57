// SPDX-License-Identifier: Apache-2.0
//! A directory with archives, and DIR, which is made anew for each run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use tests::trace::{self, Fault};
use tests::{program, tiny};

use super::operations::Step;

/// Where an operation is done over and over.
pub(super) struct Place {
    temporary: TempDir,
    image: PathBuf,
    other: PathBuf,
    stage1: PathBuf,
}

impl Place {
    /// Archives, and a template of DIR.
    pub(super) fn new(before: &[Step]) -> Self {
        let temporary = tiny::directory();
        let image = tiny::image(temporary.path(), "tiny").unwrap();
        let other = tiny::image(temporary.path(), "other").unwrap();
        let stage1 = tiny::stage1(temporary.path()).unwrap();
        let place = Self { temporary, image, other, stage1 };
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
                Step::Killed(words) => place.kill_at_publication(words),
            }
        }
        if !before.is_empty() {
            fs::rename(place.dir(), place.template()).unwrap();
        }
        place
    }

    /// DIR.
    pub(super) fn dir(&self) -> PathBuf {
        self.temporary.path().join("gantry")
    }

    /// The directory DIR is in.
    pub(super) fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// DIR becomes what it was before the operation.
    pub(super) fn restore(&self) {
        if self.dir().exists() {
            fs::remove_dir_all(self.dir()).unwrap();
        }
        if self.template().exists() {
            let copied = Command::new("cp").arg("-a").arg(self.template()).arg(self.dir()).status().unwrap();
            assert!(copied.success(), "the template can be copied");
        }
    }

    /// A command of the installer's.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program("installer"));
        command.env_clear().arg("--dir").arg(self.dir());
        for word in words {
            match *word {
                "IMAGE" => command.arg(&self.image),
                "OTHER" => command.arg(&self.other),
                "STAGE1" => command.arg(&self.stage1),
                word => command.arg(word),
            };
        }
        command
    }

    /// Runs a command, without any fault.
    pub(super) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn template(&self) -> PathBuf {
        self.temporary.path().join("template")
    }

    fn kill_at_publication(&self, words: &[&str]) {
        let containers = self.dir().join("containers");
        let run = trace::run(&self.command(words), |event| {
            let publishes = event.objects.get(1).is_some_and(|to| to.parent() == Some(&containers));
            publishes.then_some(Fault::Kill)
        });
        assert!(run.unwrap().fault().is_some(), "it publishes by a rename into containers");
    }
}
