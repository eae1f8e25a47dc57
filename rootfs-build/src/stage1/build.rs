// SPDX-License-Identifier: Apache-2.0
//! Builds the tarball on disk from packages.
//!
//! Invariant: the tarball and its digest are complete in memory before the output directory is touched.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::plan::{PACKAGES, Plan, plan, wanted};
use crate::apt::Codename;
use crate::index::Index;
use crate::progress::Step;
use crate::stand_in::{self, Libraries};
use crate::target::Target;
use crate::{apt, interrupt, pack, packages, publish};

/// The inputs of a stage1 and the place of its tarball.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The path of `/init`.
    pub init: PathBuf,
    /// The directory of static units.
    pub units: PathBuf,
    /// The tarball's path. Its digest goes beside it, with `.sha256` added to the name.
    pub output: PathBuf,
    /// A directory of packages to use instead of apt.
    pub debs: Option<PathBuf>,
    /// A directory in which fetched packages are kept.
    pub cache: Option<PathBuf>,
    /// The release that packages are fetched from; `None` means the host's.
    pub release: Option<Codename>,
    /// The libraries that it has.
    pub libraries: Libraries,
}

/// A summary of what was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The tarball's size in bytes.
    pub compressed: u64,
    /// The sum of the sizes of stage1's files, in bytes.
    pub unpacked: u64,
    /// The tarball's digest in hex.
    pub sha256: String,
    /// The number of packages that files were taken from.
    pub packages: usize,
    /// The sizes that it should not exceed.
    pub budget: Budget,
}

/// The sizes that a stage1 should not exceed, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The most bytes that the tarball should have.
    pub compressed: u64,
    /// The most bytes that its files should have together.
    pub unpacked: u64,
}

impl Budget {
    /// Returns the budget of a stage1 with this version of systemd.
    ///
    /// From 254 on there is a program more, systemd-executor, and Debian 13's libraries are larger.
    pub fn of(systemd: u32, libraries: Libraries) -> Self {
        let of = |compressed, unpacked| Self { compressed, unpacked };
        match (systemd, stand_in::has_replaced(libraries, systemd)) {
            (0..254, true) => of(4_000_000, 12_500_000),
            (254.., true) => of(4_600_000, 14_500_000),
            (0..254, false) => of(6_500_000, 21_000_000),
            (254.., false) => of(7_000_000, 23_500_000),
        }
    }
}

/// Builds stage1.
///
/// # Errors
/// Fails if an input can't be read, packages are unavailable or lack something, or the output can't be written.
pub fn build(inputs: &Inputs) -> Result<Summary> {
    let target = Target::host()?;
    let time = source_date_epoch()?;
    let init = fs::read(&inputs.init).with_context(|| format!("read {}", inputs.init.display()))?;
    // Checked now, so that an unreadable directory fails at once rather than after minutes.
    fs::read_dir(&inputs.units).with_context(|| format!("read {}", inputs.units.display()))?;
    let index = index(inputs, &target)?;
    let Plan { tree, mtime, packages } = plan(&index, &target, inputs.libraries, &init, &inputs.units)?;
    let tarball = {
        let step = Step::bytes("compressing", tree.size());
        let progress = |done| {
            step.at(done);
            interrupt::check().map_err(io::Error::other)
        };
        pack::tar_xz(&tree, time.unwrap_or(mtime), target.branches, Vec::new(), progress)?
    };
    let sha256 = publish::sha256(&tarball[..])?;
    write(&inputs.output, &tarball, &sha256)?;
    let budget = Budget::of(index.systemd(), inputs.libraries);
    Ok(Summary { compressed: tarball.len() as u64, unpacked: tree.size(), sha256, packages, budget })
}

fn index(inputs: &Inputs, target: &Target) -> Result<Index> {
    let release = inputs.release.as_ref();
    let temporary;
    let paths = match (&inputs.debs, &inputs.cache) {
        (Some(directory), _) => packages::in_directory(directory)?,
        (None, Some(cache)) => apt::download(PACKAGES, release, cache)?,
        (None, None) => {
            temporary = tempfile::tempdir().context("create a temporary directory")?;
            apt::download(PACKAGES, release, temporary.path())?
        }
    };
    Index::read(packages::select(&paths, target.deb)?, wanted)
}

fn write(output: &Path, tarball: &[u8], sha256: &str) -> Result<()> {
    let name = output.file_name().with_context(|| format!("{}: no file name", output.display()))?;
    let mut beside = name.to_owned();
    beside.push(".sha256");
    let line = format!("{sha256}  {}\n", name.to_string_lossy());
    publish::write_pair((output, tarball), (&output.with_file_name(beside), line.as_bytes()))
}

/// Returns the time that reproducible builds agree on (reproducible-builds.org, SOURCE_DATE_EPOCH specification).
fn source_date_epoch() -> Result<Option<u64>> {
    let Some(value) = std::env::var_os("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let value = value.to_string_lossy();
    let seconds =
        value.parse().with_context(|| format!("SOURCE_DATE_EPOCH is {value:?}: expected seconds"))?;
    Ok(Some(seconds))
}
