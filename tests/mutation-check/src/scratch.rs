// SPDX-License-Identifier: Apache-2.0
//! The copy of the sources that is changed and built: `target/mutants`, kept from one run to the next, so that little
//! is built again.

use std::env::consts::ARCH;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use testing::repository;

use super::mutations::{Mutation, Suite};

/// What is copied: all that cargo reads.
const SOURCES: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    "crates",
    "stage1-init",
    "installer",
    "rootfs-build",
    "tests",
    "fuzz",
];
/// A suite that takes longer than this has noticed: one that waits for what does not come never ends.
const SECONDS: &str = "600";
/// The tests of the crates that are changed, without those of whole pods.
const OWN: &[&str] =
    &["test", "-p", "installer", "-p", "prepare", "-p", "image", "-p", "store", "-p", "archive"];
/// Nobody debugs what is built here, and it is linked a hundred times.
const DEBUG: (&str, &str) = ("CARGO_PROFILE_DEV_DEBUG", "0");

/// The copy.
pub(super) struct Scratch {
    tree: PathBuf,
    target: PathBuf,
}

/// A changed file, which is as it was once this is dropped.
pub(super) struct Changed {
    path: PathBuf,
    before: String,
}

impl Drop for Changed {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.before) {
            eprintln!("warning: cannot restore {}: {error}", self.path.display());
        }
    }
}

impl Scratch {
    /// Copies the sources; what is the same already is left alone.
    pub(super) fn new() -> Result<Self> {
        let root = repository().join("target/mutants");
        let scratch = Self { tree: root.join("tree"), target: root.join("target") };
        fs::create_dir_all(&scratch.tree).context("cannot create target/mutants")?;
        for source in SOURCES {
            copy(&repository().join(source), &scratch.tree.join(source))
                .with_context(|| format!("cannot copy {source}"))?;
        }
        Ok(scratch)
    }

    /// Whether the change can be made.
    pub(super) fn fits(&self, mutation: &Mutation) -> Result<()> {
        let text = fs::read_to_string(self.path(mutation))
            .with_context(|| format!("{}: {}", mutation.name, mutation.file))?;
        let count = text.matches(mutation.find).count();
        ensure!(
            count == 1,
            "{}: {} has its text {count} times: expected it once",
            mutation.name,
            mutation.file
        );
        Ok(())
    }

    /// Makes the change.
    pub(super) fn change(&self, mutation: &Mutation) -> Result<Changed> {
        let path = self.path(mutation);
        let before = fs::read_to_string(&path)?;
        fs::write(&path, before.replacen(mutation.find, mutation.replace, 1))?;
        Ok(Changed { path, before })
    }

    /// Builds what a suite takes of the changed tree.
    pub(super) fn build(&self, suite: &Suite) -> Result<()> {
        let mut cargo = self.cargo(&self.tree);
        match suite {
            Suite::Own(arguments) => cargo.args(OWN).arg("--no-run").args(*arguments),
            Suite::EndToEnd(_) => cargo.args(["build", "-p", "installer"]),
        };
        let output = cargo.output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Whether a suite passes with the installer as it was built.
    pub(super) fn passes(&self, suite: &Suite) -> Result<bool> {
        let mut cargo = match suite {
            Suite::Own(arguments) => {
                let mut cargo = self.cargo(&self.tree);
                cargo.args(OWN).args(*arguments);
                cargo
            }
            Suite::EndToEnd(arguments) => {
                let mut cargo = self.cargo(repository());
                cargo.arg("test").args(*arguments);
                cargo.env_remove("CARGO_TARGET_DIR").env_remove(DEBUG.0);
                cargo.env("GANTRY_TEST_PROGRAMS", self.programs());
                cargo
            }
        };
        // A suite that is skipped would pass whatever is changed.
        Ok(cargo.env("CI", "true").stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
    }

    fn programs(&self) -> PathBuf {
        self.target.join(triple()).join("debug")
    }

    fn path(&self, mutation: &Mutation) -> PathBuf {
        self.tree.join(mutation.file)
    }

    fn cargo(&self, directory: &Path) -> Command {
        let mut cargo = Command::new("timeout");
        cargo.args([SECONDS, "cargo"]).current_dir(directory);
        cargo.env("CARGO_TARGET_DIR", &self.target).env("CARGO_BUILD_TARGET", triple()).env(DEBUG.0, DEBUG.1);
        cargo
    }
}

fn triple() -> String {
    format!("{ARCH}-unknown-linux-musl")
}

/// Makes `to` what `from` is; files that are the same keep their times, by which cargo knows them.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        let content = fs::read(from)?;
        let same = fs::read(to).is_ok_and(|there| there == content);
        return if same { Ok(()) } else { fs::write(to, content) };
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(to)? {
        let name = entry?.file_name();
        if fs::symlink_metadata(from.join(&name)).is_err() {
            let gone = to.join(&name);
            if gone.is_dir() { fs::remove_dir_all(gone)? } else { fs::remove_file(gone)? }
        }
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        // Links in stage1's units lead nowhere here, and no program is built of them.
        if !entry.file_type()?.is_symlink() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
