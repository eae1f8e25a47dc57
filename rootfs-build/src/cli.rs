// SPDX-License-Identifier: Apache-2.0
//! The command line: arguments in, messages and an exit code out.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage. Paths of fetched packages go to stdout, everything else to stderr.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use terminal::output;

use crate::stage1::{self, Libraries};
use crate::{apt, interrupt};

/// Makes Gantry's stage1 from the distribution's packages, reproducibly.
#[derive(Debug, Parser)]
#[command(name = "rootfs-build", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the stage1 tarball and its digest.
    ///
    /// Takes systemd, systemd-nspawn and the libraries they load from this host's distribution (Debian or Ubuntu),
    /// through its own apt in a private root: signatures are checked, and nothing is installed on the host. The same
    /// packages, init and units make the same tarball, byte for byte.
    #[command(
        after_help = "Environment:\n  SOURCE_DATE_EPOCH  time of all files, in seconds since 1970 [default: \
        that of the newest file in the packages]\n\nExample:\n  rootfs-build stage1 --init init --units units \
        --output dist/stage1.tar.xz"
    )]
    Stage1 {
        /// The static program that becomes stage1's /init
        #[arg(long, value_name = "FILE")]
        init: PathBuf,
        /// Directory of the static systemd units
        #[arg(long, value_name = "DIR")]
        units: PathBuf,
        /// The tarball to write; its sha256 goes to FILE.sha256
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
        /// Take the packages from DIR/*.deb, without apt and network
        #[arg(long, value_name = "DIR", conflicts_with = "cache")]
        debs: Option<PathBuf>,
        /// Keep fetched packages in DIR and take from there what is unchanged
        #[arg(long, value_name = "DIR")]
        cache: Option<PathBuf>,
        /// Fetch packages of another release than the host's, from the same archive: trixie
        #[arg(long, value_name = "NAME", conflicts_with = "debs")]
        codename: Option<apt::Codename>,
        /// Take libraries that pods never call, too, in place of a stand-in
        #[arg(long)]
        whole_libraries: bool,
    },
    /// Fetch packages and their dependencies, and print the files' paths.
    ///
    /// Through apt in a private root, with signatures checked; recommended packages are left out. Files that are in DIR
    /// already are fetched again only where they changed.
    Debs {
        /// Where the .deb files go
        #[arg(long, value_name = "DIR")]
        output_dir: PathBuf,
        /// Fetch packages of another release than the host's, from the same archive: trixie
        #[arg(long, value_name = "NAME")]
        codename: Option<apt::Codename>,
        /// Names of packages
        #[arg(required = true, value_name = "PACKAGE")]
        packages: Vec<String>,
    },
}

/// Runs the program and returns its exit code.
pub fn run() -> ExitCode {
    let command = match Arguments::try_parse() {
        Ok(Arguments { command }) => command,
        Err(error) => {
            return match output::usage(&error) {
                output::Shown::Help => ExitCode::SUCCESS,
                output::Shown::Nothing => ExitCode::FAILURE,
                output::Shown::WrongUsage => ExitCode::from(2),
            };
        }
    };
    let done = interrupt::watch().context("watch for signals").and_then(|()| execute(command));
    // After a signal, any failure is a consequence of it, so the interruption is reported instead.
    match done.map_err(|error| interrupt::check().err().unwrap_or(error)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> Result<()> {
    match command {
        Command::Stage1 { init, units, output, debs, cache, codename, whole_libraries } => {
            let libraries = if whole_libraries { Libraries::Whole } else { Libraries::Called };
            let release = codename;
            let inputs = stage1::Inputs { init, units, output, debs, cache, release, libraries };
            let summary = stage1::build(&inputs)?;
            terminal::tell(&describe(&summary));
        }
        Command::Debs { output_dir, codename, packages } => {
            let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
            output::check()?;
            for path in apt::download(&packages, codename.as_ref(), &output_dir)? {
                output::print(format!("{}\n", path.display()).as_bytes())?;
            }
        }
    }
    Ok(())
}

fn describe(summary: &stage1::Summary) -> String {
    let stage1::Summary { compressed, unpacked, sha256, packages, budget } = summary;
    let mut text = format!(
        "stage1: {compressed} bytes compressed, {unpacked} unpacked, files of {packages} packages\nsha256: {sha256}"
    );
    let sizes = [("compressed", *compressed, budget.compressed), ("unpacked", *unpacked, budget.unpacked)];
    for (what, size, limit) in sizes {
        if size > limit {
            text += &format!("\nwarning: {size} bytes {what} are more than the budget of {limit}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn budgets_warn() {
        let mut summary = stage1::Summary {
            compressed: 4_000_000,
            unpacked: 12_500_000,
            sha256: "ab".to_owned(),
            packages: 2,
            budget: stage1::Budget::of(252, Libraries::Called),
        };
        let text = "stage1: 4000000 bytes compressed, 12500000 unpacked, files of 2 packages\nsha256: ab";
        assert_eq!(describe(&summary), text);
        summary.unpacked += 1;
        assert!(
            describe(&summary)
                .ends_with("warning: 12500001 bytes unpacked are more than the budget of 12500000")
        );
        summary.budget = stage1::Budget::of(257, Libraries::Called);
        assert_eq!(describe(&summary).lines().count(), 2);
    }
}
