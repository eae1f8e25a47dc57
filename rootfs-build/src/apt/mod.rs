// SPDX-License-Identifier: Apache-2.0
//! Fetches packages of the host's distribution, of its own release or of another, with their dependencies, through the host's apt in a private root.
//!
//! apt resolves, checks signatures and downloads. The host's apt and dpkg state are neither read nor written, and none
//! of its hooks run. Invariant: every file that [`download`] returns has the sha256 that the signed index gives for it,
//! even if the file was there before. apt itself only compares the sizes of archives that it finds.

mod config;
mod distribution;
mod list;
mod root;
mod sources;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::progress::Step;
use crate::publish;
pub use distribution::Codename;
use list::Archive;
use report::Hint as _;
use root::{OFFLINE, Root};

/// Downloads `packages` and everything they depend on into the directory `into`. Recommendations are left out. The
/// packages are from `release`, or from the host's where that is `None`.
///
/// Returns the files in the order of their names. Correct files that are already there are not fetched again. Other
/// files in `into` are left alone.
///
/// # Errors
/// Fails if apt is missing or fails, a package is unavailable, or a file can't be written.
pub fn download(packages: &[&str], release: Option<&Codename>, into: &Path) -> Result<Vec<PathBuf>> {
    for package in packages {
        ensure!(is_package_name(package), "not a package's name: {}", pod::text::escape(package));
    }
    fetch(packages, release, into).hint(OFFLINE)
}

fn fetch(packages: &[&str], release: Option<&Codename>, into: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(into).with_context(|| format!("create {}", into.display()))?;
    let root = Root::prepare(release)?;
    {
        let _step = Step::waiting("updating package lists");
        root.apt_get(&["update"], || ()).context("update package lists")?;
    }
    let archives = resolve(&root, packages)?;
    let mut missing = Vec::new();
    for archive in &archives {
        let path = into.join(&archive.file);
        if archive.is_at(&path)? {
            root.offer(&path, &archive.file)?;
        } else {
            missing.push(archive);
        }
    }
    if !missing.is_empty() {
        fetch_missing(&root, packages, &missing, into)?;
    }
    let mut paths: Vec<PathBuf> = archives.iter().map(|archive| into.join(&archive.file)).collect();
    paths.sort();
    Ok(paths)
}

/// Returns the packages that apt would install into an empty root.
fn resolve(root: &Root, packages: &[&str]) -> Result<Vec<Archive>> {
    let mut arguments = vec!["install", "--print-uris", "--quiet=2", "--"];
    arguments.extend(packages);
    let output = root.apt_get(&arguments, || ()).with_context(|| wanted(packages))?;
    let archives = list::parse(&output).context("read apt-get's list of archives")?;
    if archives.is_empty() {
        bail!("{}: apt-get found nothing to fetch", wanted(packages));
    }
    Ok(archives)
}

fn fetch_missing(root: &Root, packages: &[&str], missing: &[&Archive], into: &Path) -> Result<()> {
    let bytes: u64 = missing.iter().map(|archive| archive.size).sum();
    let noun = if missing.len() == 1 { "package" } else { "packages" };
    let message = format!("fetching {} {noun}, {} kB", missing.len(), bytes.div_ceil(1000));
    let step = Step::counting(&message, missing.len());
    let mut arguments = vec!["install", "--download-only", "--quiet=1", "--"];
    arguments.extend(packages);
    let fetched = || {
        let done = missing.iter().filter(|archive| root.archives().join(&archive.file).exists());
        step.at(done.count() as u64);
    };
    root.apt_get(&arguments, fetched).with_context(|| wanted(packages))?;
    for archive in missing {
        let fetched = root.archives().join(&archive.file);
        ensure!(archive.is_at(&fetched)?, "{}: apt-get left no file with the digest it named", archive.file);
        let file = File::open(&fetched).with_context(|| format!("open {}", fetched.display()))?;
        publish::write(&into.join(&archive.file), file)?;
    }
    Ok(())
}

fn wanted(packages: &[&str]) -> String {
    format!("fetch {}", packages.join(", "))
}

/// Tells whether this is a package name (Debian policy, section 5.6.1), and neither an option nor one of apt's `NAME-`,
/// `NAME=VERSION` or patterns.
fn is_package_name(name: &str) -> bool {
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    name.len() > 1
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && !name.ends_with('-')
        && name.chars().all(ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_reach_apt() {
        for name in ["systemd", "libstdc++6", "python3.11", "g++", "0ad"] {
            assert!(is_package_name(name), "{name}");
        }
        for name in ["", "a", "-o", "--yes", "bash-", "bash=1", "bash/sid", "~nbash", "a*", "a b", "A1", "é1"]
        {
            assert!(!is_package_name(name), "{name}");
        }
    }
}
