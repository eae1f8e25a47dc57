// SPDX-License-Identifier: Apache-2.0
//! The copy of the sources that is changed and built: `target/mutants`. It is kept from one run to the next, so that
//! little is rebuilt.

use std::env::consts::ARCH;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use testing::repository;

use super::mutant::{Mutant, Suite};

/// What is copied: everything that cargo reads.
const SOURCES: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "docs",
    "rust-toolchain.toml",
    "crates",
    "stage1-init",
    "installer",
    "manual",
    "onefile",
    "rootfs-build",
    "tests",
    "fuzz",
];
/// A suite that takes longer has noticed the change: it waits for something that does not happen.
const SECONDS: &str = "600";
/// Debug information is not needed, and would be linked a hundred times.
const DEBUG: (&str, &str) = ("CARGO_PROFILE_DEV_DEBUG", "0");

/// The copy.
pub(super) struct Scratch {
    tree: PathBuf,
    target: PathBuf,
}

/// A changed file. It is restored on drop.
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
    /// Copies the sources, except for files that are equal already.
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

    /// Checks that the change can be made.
    pub(super) fn fits(&self, mutant: &Mutant) -> Result<()> {
        let source = fs::read_to_string(self.tree.join(&mutant.file)).with_context(|| mutant.to_string())?;
        mutant.apply(&source).map(drop)
    }

    /// Makes the change. The next build is of the changed tree.
    pub(super) fn change(&self, mutant: &Mutant) -> Result<Changed> {
        let path = self.tree.join(&mutant.file);
        let before = fs::read_to_string(&path).with_context(|| mutant.to_string())?;
        fs::write(&path, mutant.apply(&before)?)?;
        Ok(Changed { path, before })
    }

    /// Builds what a suite takes of the changed tree.
    pub(super) fn build(&self, suite: &Suite) -> Result<()> {
        let mut cargo = self.cargo(&self.tree);
        match suite.is_end_to_end {
            // Tests of what `/init` does take it from there, in place of stage1's.
            true => cargo.args(["build", "-p", "installer", "-p", "stage1-init"]),
            false => cargo.args(["test", "--no-run"]).args(&suite.arguments),
        };
        let output = cargo.output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Tells whether a suite passes with the changed tree as it was built.
    pub(super) fn passes(&self, suite: &Suite) -> Result<bool> {
        let mut cargo = self.cargo(if suite.is_end_to_end { repository() } else { &self.tree });
        cargo.arg("test").args(&suite.arguments);
        if suite.is_end_to_end {
            cargo.env_remove("CARGO_TARGET_DIR").env_remove(DEBUG.0);
            cargo.env("GANTRY_TEST_PROGRAMS", self.programs());
        }
        // A skipped suite would pass with any change.
        Ok(cargo.env("CI", "true").stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
    }

    fn programs(&self) -> PathBuf {
        self.target.join(triple()).join("debug")
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

/// Copies `from` to `to`. Equal files keep their times, by which cargo tells what has changed.
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
        // Links in stage1's units lead nowhere here, and no program is built from them.
        if !entry.file_type()?.is_symlink() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cargo reads the manifests of all members, whichever is built.
    #[test]
    fn all_members_of_the_workspace_are_copied() {
        let manifest = fs::read_to_string(repository().join("Cargo.toml")).unwrap();
        let members = manifest.lines().find(|line| line.starts_with("members = [")).unwrap();
        let members: Vec<_> = members.split('"').skip(1).step_by(2).collect();
        assert!(members.contains(&"installer"), "{members:?}");
        let is_copied = |member: &&&str| SOURCES.iter().any(|source| Path::new(member).starts_with(source));
        let missing: Vec<_> = members.iter().filter(|member| !is_copied(member)).collect();
        assert_eq!(missing, Vec::<&&str>::new());
    }
}
